import { assert, assertEquals, assertMatch } from "../support/assert.ts";
import { Debugger } from "../support/debugger.ts";
import { commandOf, FORM, HOME, IS_BUNDLED } from "../support/forms.ts";
import { Daemon, run, runDaemon, TempFolder } from "../support/programs.ts";
import { FaultyServer, sending } from "../servers/faulty.ts";
import { serverTest, until } from "../servers/mod.ts";

/** Whether the form under test is built. */
const IS_BUILT = FORM !== "source";

/** How many file descriptors a process has open. */
async function descriptorsOf(pid: number): Promise<number> {
  return (await run("ls", [`/proc/${pid}/fd`])).stdout.trim().split("\n").length;
}

Deno.test("100 pairs of POST down and up leak no descriptors", async () => {
  using folder = new TempFolder();
  await using daemon = await Daemon.start({
    spool: folder.path,
    config: "allow_remote_spool_changes: true\n",
    grants: [`--allow-write=${folder.path}`],
  });
  const change = async (form: Record<string, string>) => {
    const response = await fetch(daemon.url("/spool/web/0/status"), {
      method: "POST",
      headers: { connection: "close" },
      body: new URLSearchParams(form),
    });
    assertEquals([response.status, await response.text()], [200, ""]);
  };
  const pair = async () => {
    await change({ status: "down", reason: "maint" });
    await change({ status: "up" });
  };
  await pair();
  const before = await descriptorsOf(daemon.pid);
  for (let i = 0; i < 100; i++) await pair();
  // The connections of the requests close a moment later.
  await until("no more descriptors are open", async () => {
    return await descriptorsOf(daemon.pid) <= before + 2;
  });
});

serverTest(
  "hashowdowned removes eight expired records and leaves the spool unlocked",
  ["flock", "timeout"],
  async () => {
    using folder = new TempFolder();
    const record = { reason: "over", expiration: 2, creation: 1 };
    for (let i = 0; i < 8; i++) folder.write(`web${i}`, JSON.stringify(record));
    folder.write("api", "maint");
    const hashowdowned = commandOf("hashowdowned", { spool: folder.path });
    const start = performance.now();
    const { code, stdout, stderr } = await run("timeout", [
      "60",
      ...[...hashowdowned, "--spool-root", folder.path],
    ], { NO_COLOR: "1" });
    const seconds = (performance.now() - start) / 1000;
    assertEquals([code, stderr], [0, ""]);
    assertMatch(stdout, /^DOWN\t\S+\tapi\tmaint\n$/);
    assertEquals([...Deno.readDirSync(folder.path)].map(({ name }) => name), ["api"]);
    assert(seconds < 10, `it took ${seconds} s`);
    assertEquals((await run("flock", ["--nonblock", folder.path, "true"])).code, 0);
  },
);

/** A package registry that records requests. */
class Registry implements AsyncDisposable {
  readonly #server: Deno.HttpServer<Deno.NetAddr>;
  requests: string[] = [];

  constructor() {
    this.#server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, ({ url }) => {
      this.requests.push(new URL(url).pathname);
      return new Response("export default 1;", { headers: { "content-type": "text/javascript" } });
    });
  }

  get url(): string {
    return `http://127.0.0.1:${this.#server.addr.port}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server.shutdown();
  }
}

Deno.test({
  name: "an installed daemon cannot import other modules" +
    (IS_BUILT ? "" : " (needs HACHECK_FORM)"),
  ignore: !IS_BUILT,
  async fn() {
    await using registry = new Registry();
    const { url } = registry;
    await using daemon = await Daemon.start({
      wrapper: ["env", `NPM_CONFIG_REGISTRY=${url}/`, `JSR_URL=${url}/`],
      grants: [Debugger.GRANT],
    });
    await using debug = await Debugger.attach(daemon, 0);
    const specifiers = ["npm:hacheck-no-such@1.0.0", "jsr:@hacheck/no-such@1.0.0", `${url}/x.js`];
    for (const specifier of specifiers) {
      await debug.run(`
        globalThis.outcome = undefined;
        import(${JSON.stringify(specifier)})
          .then(() => globalThis.outcome = "imported", (error) => globalThis.outcome = String(error));
      `);
      let outcome: unknown;
      await until(`the import of ${specifier} has settled`, async () => {
        outcome = await debug.evaluate("globalThis.outcome ?? null");
        return outcome !== null;
      });
      assert(outcome !== "imported", specifier);
    }
    assertEquals(registry.requests, []);
    assertEquals((await daemon.get("/spool/web/0")).status, 200);
  },
});

Deno.test({
  name: "a bundled daemon reads the clients of databases once, at the first check that needs them" +
    (IS_BUNDLED ? "" : " (needs HACHECK_FORM=installed)"),
  ignore: !IS_BUNDLED,
  async fn() {
    using folder = new TempFolder();
    const home = folder.file("hacheck");
    assertEquals((await run("cp", ["-r", HOME, home])).code, 0);
    const clients = ["mysql2", "pg"].map((name) => `${home}/src/${name}.js`);
    const block = async () => {
      for (const client of clients) {
        Deno.renameSync(client, `${client}.away`);
        assertEquals((await run("mkfifo", [client])).code, 0);
      }
    };
    // To read a FIFO that has no writer blocks.
    await block();
    await using daemon = await Daemon.start({
      entry: `${home}/src/start_hacheck.js`,
      config: "cache_time: 0\nmysql_username: a\nmysql_password: b\npostgres_username: c\n",
      grants: [`--allow-read=${home}/src`],
    });
    await using service = await FaultyServer.start(sending("-ERR this is neither\r\n"));
    const check = async () => {
      for (const [protocol, name] of [["mysql", "MySQL"], ["postgres", "PostgreSQL"]]) {
        const { status, body } = await daemon.get(`/${protocol}/web/${service.port}/`);
        assertEquals(status, 503, body);
        assertMatch(body, new RegExp(`the server does not speak ${name}`));
      }
    };
    for (const client of clients) Deno.renameSync(`${client}.away`, client);
    await check();
    await block();
    await check();
  },
});

Deno.test({
  name:
    "a bundled daemon without its database clients responds 503, logs it, and connects to nothing" +
    (IS_BUNDLED ? "" : " (needs HACHECK_FORM=installed)"),
  ignore: !IS_BUNDLED,
  async fn() {
    using folder = new TempFolder();
    const home = folder.file("hacheck");
    assertEquals((await run("cp", ["-r", HOME, home])).code, 0);
    await using daemon = await Daemon.start({
      entry: `${home}/src/start_hacheck.js`,
      config: "cache_time: 0\nmysql_username: a\nmysql_password: b\npostgres_username: c\n",
      grants: [`--allow-read=${home}/src`],
    });
    Deno.renameSync(`${home}/src`, `${home}/away`);
    await using service = await FaultyServer.start(sending(""));
    for (const protocol of ["mysql", "postgres"]) {
      const { status, body } = await daemon.get(`/${protocol}/web/${service.port}/`);
      const where = `127.0.0.1:${service.port}`;
      assertEquals([status, body], [503, `Internal error in the ${protocol} check of ${where}`]);
      await daemon.logged(new RegExp(`ERROR Internal error in the ${protocol} check of web`, "i"));
    }
    assertEquals(service.accepted, 0);
    assertEquals(JSON.parse((await daemon.get("/status")).body).faults.checks, 2);
  },
});

Deno.test({
  name: "a bundled daemon with a login of a database demands to read its own code" +
    (IS_BUNDLED ? "" : " (needs HACHECK_FORM=installed)"),
  ignore: !IS_BUNDLED,
  async fn() {
    for (const key of ["mysql_username", "postgres_username"]) {
      using folder = new TempFolder();
      const config = folder.write("hacheck.yaml", `${key}: checker\n`);
      const args = ["-c", config, "--spool-root", folder.path];
      const grants = ["--no-prompt", "--allow-net", `--allow-read=${folder.path}`];
      assertEquals(await runDaemon(args, grants), {
        code: 1,
        stdout: "",
        stderr: `hacheck: mysql_username or postgres_username needs --allow-read=${HOME}src\n`,
      });
    }
  },
});
