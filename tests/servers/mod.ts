/**
 * Tests that need real servers.
 *
 * @module
 */

/** The folders of servers. */
const FOLDERS = ["/usr/sbin", "/usr/bin", "/usr/local/sbin", "/usr/local/bin", "/sbin", "/bin"];

function isInstalled(program: string): boolean {
  const paths = program.startsWith("/")
    ? filesMatching(program)
    : FOLDERS.map((folder) => `${folder}/${program}`);
  return paths.some((path) => {
    try {
      return Deno.statSync(path).isFile;
    } catch {
      return false;
    }
  });
}

/**
 * Finds files whose paths differ between systems and processors.
 *
 * @param pattern An absolute path. `*` stands for any characters within a name.
 * @returns The paths that match, sorted. A pattern without `*` is returned as it is.
 */
export function filesMatching(pattern: string): string[] {
  let paths = [""];
  for (const part of pattern.split("/").slice(1)) {
    const name = new RegExp(`^${part.split("*").map(RegExp.escape).join(".*")}$`);
    paths = paths.flatMap((path) =>
      part.includes("*")
        ? namesIn(path).filter((found) => name.test(found)).map((found) => `${path}/${found}`)
        : [`${path}/${part}`]
    );
  }
  return paths.filter((path) => !pattern.includes("*") || exists(path)).sort();
}

function namesIn(folder: string): string[] {
  try {
    return [...Deno.readDirSync(folder)].map(({ name }) => name);
  } catch {
    return [];
  }
}

function exists(path: string): boolean {
  try {
    Deno.statSync(path);
    return true;
  } catch {
    return false;
  }
}

/**
 * Registers a test that needs installed programs. If one is missing, Deno reports the test as ignored; with
 * `HACHECK_REQUIRE_SERVERS=1` the test fails.
 *
 * @param name The test's name.
 * @param programs The needed programs, as for {@linkcode missingPrograms}.
 * @param fn The test.
 */
export function serverTest(
  name: string,
  programs: readonly string[],
  fn: () => Promise<void>,
): void {
  const missing = missingPrograms(programs);
  if (missing.length === 0) {
    Deno.test(name, fn);
  } else if (Deno.env.get("HACHECK_REQUIRE_SERVERS") === "1") {
    Deno.test(name, () => {
      throw new Error(`needs ${missing.join(", ")}, which is not installed`);
    });
  } else {
    Deno.test({ name: `${name} (needs ${missing.join(", ")})`, ignore: true, fn });
  }
}

/**
 * Finds the programs that are not installed.
 *
 * @param programs Names, or absolute paths in which `*` stands for any characters.
 */
export function missingPrograms(programs: readonly string[]): string[] {
  return programs.filter((program) => !isInstalled(program));
}

/** The range of {@linkcode freePort}. It is below the ephemeral ports, which connections use. */
const PORTS = { first: 10_000, count: 20_000 };

/**
 * Finds a free port of 127.0.0.1, for a server that cannot choose one by itself.
 *
 * @returns The port. Another process may take it before the server does.
 */
export function freePort(): number {
  for (;;) {
    const port = PORTS.first + Math.floor(Math.random() * PORTS.count);
    try {
      Deno.listen({ hostname: "127.0.0.1", port }).close();
      return port;
    } catch (error) {
      if (!(error instanceof Deno.errors.AddrInUse)) throw error;
    }
  }
}

/** The longest pause of {@linkcode until}, in milliseconds, unless the caller sets a longer one. */
const MAX_INTERVAL_MS = 100;

/**
 * Waits until a condition holds.
 *
 * @param what The condition, for the message.
 * @param holds Returns whether the condition holds. An error counts as false.
 * @param timeoutMs How long to wait at most, in milliseconds.
 * @param intervalMs The least time between two calls, in milliseconds. It grows with the time waited.
 * @throws {Error} If the condition does not hold in time. The cause is the last error of `holds`.
 */
export async function until(
  what: string,
  holds: () => boolean | Promise<boolean>,
  timeoutMs = 60_000,
  intervalMs = 10,
): Promise<void> {
  const start = performance.now();
  let last: unknown;
  for (let waited = 0; waited < timeoutMs; waited = performance.now() - start) {
    try {
      if (await holds()) return;
      last = undefined;
    } catch (error) {
      last = error;
    }
    const pause = Math.max(intervalMs, Math.min(waited / 10, MAX_INTERVAL_MS));
    await new Promise((resolve) => setTimeout(resolve, pause));
  }
  throw new Error(`not within ${timeoutMs / 1000} s: ${what}`, { cause: last });
}
