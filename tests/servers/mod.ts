/**
 * Tests that need real servers.
 *
 * @module
 */

/** Where servers are looked for. */
const FOLDERS = ["/usr/sbin", "/usr/bin", "/usr/local/sbin", "/usr/local/bin", "/sbin", "/bin"];

function isInstalled(program: string): boolean {
  const paths = program.startsWith("/")
    ? filesLike(program)
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
export function filesLike(pattern: string): string[] {
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
 * Registers a test that needs programs which are not everywhere. Where one is missing the test is
 * reported as ignored with the reason; with `HACHECK_REQUIRE_SERVERS=1` it fails.
 *
 * @param name The test's name.
 * @param programs The programs it needs.
 * @param fn The test.
 */
export function serverTest(
  name: string,
  programs: readonly string[],
  fn: () => Promise<void>,
): void {
  const missing = programs.filter((program) => !isInstalled(program));
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

/** The ports that are looked through for a free one: the system gives none of them to a connection by itself. */
const PORTS = { first: 10_000, count: 20_000 };

/**
 * Finds a port of 127.0.0.1 that is free, for a server that cannot tell which one it took.
 *
 * @returns The port. Who looks for one like this may take it before the server does, if chance so wills.
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

/**
 * Waits until something holds.
 *
 * @param what What is waited for, for the message.
 * @param holds Tells whether it holds. Where it throws, it does not.
 * @param patience For how many milliseconds at most.
 * @param rest How many milliseconds to wait before it is asked again.
 */
export async function until(
  what: string,
  holds: () => boolean | Promise<boolean>,
  patience = 60_000,
  rest = 10,
): Promise<void> {
  const start = performance.now();
  let last: unknown;
  while (performance.now() - start < patience) {
    try {
      if (await holds()) return;
      last = undefined;
    } catch (error) {
      last = error;
    }
    await new Promise((resolve) => setTimeout(resolve, rest));
  }
  throw new Error(`still not: ${what}`, { cause: last });
}
