# Completion of redoxworker for bash. In ~/.bashrc: eval "$(redoxworker completion bash)"
_redoxworker() {
  local line=${COMP_LINE:0:COMP_POINT} words current reply
  read -r -a words <<<"$line"
  [[ $line == *[[:space:]] ]] && words+=("")
  current=${words[${#words[@]} - 1]}
  COMPREPLY=()
  while IFS= read -r reply; do
    if [[ $reply == :files ]]; then
      compopt -o default
      continue
    fi
    reply=${reply%%$'\t'*}
    # bash takes what is behind a = for a word of its own.
    [[ $current == *=* && $COMP_WORDBREAKS == *=* ]] && reply=${reply#*=}
    COMPREPLY+=("$reply")
  done < <("${words[0]}" __complete -- "${words[@]:1}" 2>/dev/null)
}
complete -F _redoxworker redoxworker
