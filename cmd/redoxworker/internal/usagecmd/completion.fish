# Completion of redoxworker for fish: redoxworker completion fish > ~/.config/fish/completions/redoxworker.fish
function __redoxworker_complete
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    test -n "$current"; or set current ""
    for line in ($words[1] __complete -- $words[2..-1] $current 2>/dev/null)
        if test "$line" = :files
            __fish_complete_path (string replace -r '^--[^=]*=' '' -- $current)
        else
            echo $line
        end
    end
end
complete -c redoxworker -f -a '(__redoxworker_complete)'
