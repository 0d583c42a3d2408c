/**
 * What completes hactl's command line in shells.
 *
 * @module
 */

import {
  COMMANDS,
  type FlagName,
  FLAGS,
  type FlagSpec,
  OLD_NAMES,
  SHELLS,
} from "./command_spec.ts";

/** The shells, and what makes each complete hactl's command line. */
export const COMPLETIONS: Readonly<Record<typeof SHELLS[number], () => string>> = {
  bash,
  zsh,
  fish,
};

/** The flags that every sub-command takes, of use or not. */
const COMMON: readonly FlagName[] = ["version", "help"];

/**
 * What prints the names that services are completed to. A port or a host behind a name is told by flags of
 * its own.
 */
const OFFERS = {
  "services with a record": "hactl downed 2>/dev/null | cut -f 3 | cut -d : -f 1 | sort -u",
  "known services":
    "{ hactl list | cut -d ' ' -f 1; hactl downed | cut -f 3 | cut -d : -f 1; echo all; } 2>/dev/null | sort -u",
} as const;

function flagsOf(names: readonly FlagName[]): { name: FlagName; flag: FlagSpec }[] {
  return [...names, ...COMMON].map((name) => ({ name, flag: FLAGS[name] }));
}

/** All spellings of a flag. */
function spellings(name: FlagName, { short }: FlagSpec): string[] {
  return short === undefined ? [`--${name}`] : [`-${short}`, `--${name}`];
}

function bash(): string {
  const all = Object.keys(FLAGS) as FlagName[];
  const taking = (wanted: (flag: FlagSpec) => boolean) =>
    all.filter((name) => wanted(FLAGS[name])).flatMap((name) => spellings(name, FLAGS[name]));
  const files = taking(({ values }) => values === "files");
  const free = taking(({ value, values }) => value !== null && values === undefined);
  const cases = Object.entries(COMMANDS).map(([name, { flags, offers, takes }]) => {
    const spelled = flagsOf(flags).map(({ name }) => `--${name}`).join(" ");
    const words = offers !== null
      ? `$(_hactl_${offers === "services with a record" ? "downed" : "known"})`
      : takes === "a shell"
      ? SHELLS.join(" ")
      : takes === "a command"
      ? Object.keys(COMMANDS).join(" ")
      : "";
    return `    ${name}) flags="${spelled}"; [[ $word == -* ]] || words="${words}" ;;`;
  });
  return `# What completes hactl's command line in bash.
_hactl_downed() {
  ${OFFERS["services with a record"]}
}
_hactl_known() {
  ${OFFERS["known services"]}
}
_hactl() {
  local word=\${COMP_WORDS[COMP_CWORD]} before=\${COMP_WORDS[COMP_CWORD-1]} command= flags= words= i
  case \${1##*/} in
${[...OLD_NAMES].map(([old, name]) => `    ${old}) command=${name} ;;`).join("\n")}
  esac
  for ((i = 1; i < COMP_CWORD; i++)); do
    case \${COMP_WORDS[i]} in
      ${[...files, ...free].join("|")}) ((i++)) ;;
      -*) ;;
      *) command=\${command:-\${COMP_WORDS[i]}} ;;
    esac
  done
  COMPREPLY=()
  case $before in
    ${files.join("|")})
      compopt -o filenames
      mapfile -t COMPREPLY < <(compgen -f -- "$word")
      return ;;
    -a|--action)
      mapfile -t COMPREPLY < <(compgen -W "${FLAGS.action.values.join(" ")}" -- "$word")
      return ;;
    ${free.join("|")}) return ;;
  esac
  case $command in
${cases.join("\n")}
    "") flags="${flagsOf([]).map(({ name }) => `--${name}`).join(" ")}"; words="${
    Object.keys(COMMANDS).join(" ")
  }" ;;
  esac
  [[ $word == -* ]] && words=$flags
  mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word")
}
complete -F _hactl hactl ${[...OLD_NAMES.keys()].join(" ")}
`;
}

/** A text between single quotes of any shell. */
function quoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

function zsh(): string {
  const commands = Object.entries(COMMANDS).map(([name, { summary }]) => {
    return `    ${quoted(`${name}:${summary.replaceAll(":", "\\:")}`)}`;
  });
  const cases = Object.entries(COMMANDS).map(([name, { flags, offers, takes }]) => {
    const specs = flagsOf(flags).flatMap(({ name, flag }) => {
      return spellings(name, flag).map((spelled) => quoted(zshSpec(spelled, name, flag)));
    });
    if (offers !== null) {
      specs.push(`'*:service:_hactl_${offers === "services with a record" ? "downed" : "known"}'`);
    } else if (takes === "a shell") specs.push(quoted(`1:shell:(${SHELLS.join(" ")})`));
    else if (takes === "a command") specs.push("'1:command:_hactl_commands'");
    return `    ${name})\n      _arguments \\\n        ${specs.join(" \\\n        ")} ;;`;
  });
  return `#compdef hactl ${[...OLD_NAMES].map(([old]) => old).join(" ")}
# What completes hactl's command line in zsh.
_hactl_commands() {
  local -a commands=(
${commands.join("\n")}
  )
  _describe command commands
}
_hactl_downed() {
  local -a services=(\${(f)"$(${OFFERS["services with a record"]})"})
  compadd -a services
}
_hactl_known() {
  local -a services=(\${(f)"$(${OFFERS["known services"]})"})
  compadd -a services
}
_hactl() {
  local command=$words[2]
  case \${service:t} in
${[...OLD_NAMES].map(([old, name]) => `    ${old}) command=${name} ;;`).join("\n")}
    *)
      if (( CURRENT == 2 )); then
        if [[ $words[2] == -* ]]; then
          _arguments ${
    flagsOf([]).map(({ name, flag }) => quoted(zshSpec(`--${name}`, name, flag))).join(" ")
  }
        else
          _hactl_commands
        fi
        return
      fi
      shift words
      (( CURRENT-- )) ;;
  esac
  case $command in
${cases.join("\n")}
  esac
}
if [[ $funcstack[1] == _hactl ]]; then
  _hactl "$@"
else
  compdef _hactl hactl ${[...OLD_NAMES.keys()].join(" ")}
fi
`;
}

function zshSpec(spelled: string, name: FlagName, { summary, value, values }: FlagSpec): string {
  const escape = (text: string) => text.replace(/[[\]:\\]/g, "\\$&");
  const repeats = name === "daemon" ? "*" : "";
  const described = `${repeats}${spelled}[${escape(summary)}]`;
  if (value === null) return described;
  const what = values === undefined ? " " : values === "files" ? "_files" : `(${values.join(" ")})`;
  return `${described}:${escape(value)}:${what}`;
}

function fish(): string {
  const lines = ["# What completes hactl's command line in fish.", "complete -c hactl -f"];
  for (const [name, { summary }] of Object.entries(COMMANDS)) {
    lines.push(`complete -c hactl -n __fish_use_subcommand -a ${name} -d ${quoted(summary)}`);
  }
  for (const { name, flag } of flagsOf([])) lines.push(`complete -c hactl ${fishFlag(name, flag)}`);
  const old = new Map<string, string>([...OLD_NAMES].map(([old, name]) => [name, old]));
  for (const [name, { flags, offers, takes }] of Object.entries(COMMANDS)) {
    const rules = flags.map((flag) => fishFlag(flag, FLAGS[flag]));
    if (offers !== null) rules.push(`-a ${quoted(`(${fishOffers(OFFERS[offers])})`)}`);
    if (takes === "a shell") rules.push(`-a ${quoted(SHELLS.join(" "))}`);
    if (takes === "a command") rules.push(`-a ${quoted(Object.keys(COMMANDS).join(" "))}`);
    if (old.has(name)) lines.push(`complete -c ${old.get(name)} -f`);
    for (const rule of rules) {
      lines.push(`complete -c hactl -n '__fish_seen_subcommand_from ${name}' ${rule}`);
      if (old.has(name)) lines.push(`complete -c ${old.get(name)} ${rule}`);
    }
  }
  return `${lines.join("\n")}\n`;
}

/** fish has no braces for commands. */
function fishOffers(command: string): string {
  return command.replace(/^\{ (.*); \}/, "begin; $1; end");
}

function fishFlag(name: FlagName, { short, value, values, summary }: FlagSpec): string {
  const parts = [`-l ${name}`];
  if (short !== undefined) parts.push(`-s ${short}`);
  if (value !== null) parts.push(values === "files" ? "-r -F" : "-x");
  if (Array.isArray(values)) parts.push(`-a ${quoted(values.join(" "))}`);
  parts.push(`-d ${quoted(summary)}`);
  return parts.join(" ");
}
