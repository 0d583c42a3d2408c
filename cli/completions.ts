import { OLD_NAMES, type SHELLS } from "./command_spec.ts";

const NAMES = ["hactl", ...OLD_NAMES.keys()].join(" ");

/**
 * The completion scripts of the shells. They only show what `hactl __complete` prints.
 *
 * Each line is data: bash's `compgen -W` would run a command in it.
 */
export const COMPLETIONS: Readonly<Record<typeof SHELLS[number], string>> = {
  bash: `# Completes the command line of hactl in bash.
_hactl() {
  local word=\${COMP_WORDS[COMP_CWORD]} candidate
  COMPREPLY=()
  while IFS=$'\\t' read -r candidate _; do
    if [[ $candidate == :files ]]; then
      compopt -o filenames
      mapfile -t COMPREPLY < <(compgen -f -- "$word")
    elif [[ $candidate == "$word"* ]]; then
      COMPREPLY+=("$candidate")
    fi
  done < <(hactl __complete -- "\${COMP_WORDS[@]:0:COMP_CWORD+1}" 2>/dev/null)
}
complete -F _hactl ${NAMES}
`,
  zsh: `#compdef ${NAMES}
# Completes the command line of hactl in zsh.
_hactl() {
  local -a candidates=(\${(f)"$(hactl __complete -- "\${(@)words[1,CURRENT-1]}" "$PREFIX" 2>/dev/null)"})
  if [[ $candidates == :files ]]; then
    _files
  else
    candidates=("\${(@)candidates//:/\\\\:}")
    candidates=("\${(@)candidates/$'\\t'/:}")
    _describe candidate candidates
  fi
}
if [[ $funcstack[1] == _hactl ]]; then
  _hactl "$@"
else
  compdef _hactl ${NAMES}
fi
`,
  fish: `# Completes the command line of hactl in fish.
function __hactl_complete
    set -l word (commandline -ct)
    set -l candidates (hactl __complete -- (commandline -opc) "$word" 2>/dev/null)
    if test "$candidates" = :files
        __fish_complete_path "$word"
    else
        for candidate in $candidates
            echo $candidate
        end
    end
end
for name in ${NAMES}
    complete -c $name -f -a '(__hactl_complete)'
end
`,
};
