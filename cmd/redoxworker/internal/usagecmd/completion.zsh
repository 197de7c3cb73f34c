#compdef redoxworker
# Completion of redoxworker for zsh. In ~/.zshrc, after compinit: eval "$(redoxworker completion zsh)"
_redoxworker() {
  local line
  local -a replies
  for line in "${(@f)$("${words[1]}" __complete -- "${(@)words[2,CURRENT]}" 2>/dev/null)}"; do
    case $line in
    :files)
      [[ $PREFIX == --*=* ]] && compset -P '*='
      _files
      return
      ;;
    '') ;;
    *$'\t'*) replies+=("${${line%%$'\t'*}//:/\\:}:${line#*$'\t'}") ;;
    *) replies+=("${line//:/\\:}") ;;
    esac
  done
  _describe redoxworker replies
}
if [[ $funcstack[1] == _redoxworker ]]; then
  _redoxworker "$@"
else
  compdef _redoxworker redoxworker
fi
