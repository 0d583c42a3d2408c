import { rest } from "../load/stalls.ts";
import { Wire } from "../load/wire.ts";
import { Daemon } from "../support/programs.ts";

/** Reads a daemon's log until it listens, and keeps the pipe open without reading, for as long as that runs. */
const READ_NO_MORE = [
  ...["bash", "-c"],
  'exec "$@" 2> >(sed -u "/listens on/q" >&2; exec 2>&-; while kill -0 $$ 2>/dev/null; do sleep 0.2; done)',
  "bash",
];

/** How long it may take to answer, and to end, in milliseconds. */
const PATIENCE_MS = 20_000;

/**
 * Sends checks to a daemon that logs each into a pipe without a reader, and ends it by SIGTERM.
 *
 * @param signal Ends that.
 * @returns How many answers it gave.
 * @throws {Error} If it does not answer, or does not end.
 */
export async function askUnread(signal: AbortSignal): Promise<number> {
  await using daemon = await Daemon.start({ args: ["-v"], wrapper: READ_NO_MORE });
  let answers = 0;
  for (; !signal.aborted; answers++) {
    using wire = await Wire.open(daemon.port);
    const impatient = setTimeout(() => wire[Symbol.dispose](), PATIENCE_MS);
    // Each rejected request is a long line of the log.
    await wire.send(`GET /spool/${"l".repeat(150)}/0 HTTP/1.1\r\nHost: x\r\n\r\n`);
    const response = await wire.response("GET");
    clearTimeout(impatient);
    if (response?.status !== 200) {
      throw new Error(`a daemon whose log is not read stopped after ${answers} answers`);
    }
    await rest(2, signal);
  }
  daemon.kill("SIGTERM");
  const impatient = setTimeout(() => daemon.kill("SIGKILL"), PATIENCE_MS);
  const { signal: killed } = await daemon.ended();
  clearTimeout(impatient);
  if (killed !== null) throw new Error("a daemon whose log is not read did not end by SIGTERM");
  return answers;
}
