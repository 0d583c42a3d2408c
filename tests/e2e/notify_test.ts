import { assert, assertEquals, assertMatch } from "../support/assert.ts";
import { OWN_SOCKET } from "../../src/daemon/notify_options.ts";
import { Debugger } from "../support/debugger.ts";
import { Daemon, type DaemonOptions, TempFolder } from "../support/programs.ts";
import { until } from "../servers/mod.ts";

/** systemd's end of the socket for notifications. */
class NotifySocket implements AsyncDisposable {
  readonly #folder = new TempFolder();
  readonly path: string = this.#folder.file("notify");
  readonly #socket = Deno.listenDatagram({ transport: "unixpacket", path: this.path });
  readonly #reading: Promise<void>;
  /** What was received. */
  readonly messages: string[] = [];

  constructor() {
    this.#reading = (async () => {
      for await (const [bytes] of this.#socket) {
        this.messages.push(new TextDecoder().decode(bytes));
      }
    })();
  }

  /** How many signs of life were received. */
  get pings(): number {
    return this.messages.filter((message) => message === "WATCHDOG=1").length;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#socket.close();
    await this.#reading.catch(() => {});
    this.#folder[Symbol.dispose]();
  }
}

/** Starts a daemon as systemd does, with the permissions that the script gives it then. */
function start({ path }: NotifySocket, options: DaemonOptions = {}): Promise<Daemon> {
  return Daemon.start({
    ...options,
    wrapper: ["env", `NOTIFY_SOCKET=${path}`, "WATCHDOG_USEC=500000"],
    grants: [
      "--allow-env=NOTIFY_SOCKET,WATCHDOG_USEC",
      ...[`--allow-read=${OWN_SOCKET}`, `--allow-write=${OWN_SOCKET},${path}`],
      ...options.grants ?? [],
    ],
  });
}

Deno.test("the daemon notifies systemd of start, reload, refused reload and stop", async () => {
  await using systemd = new NotifySocket();
  using folder = new TempFolder();
  const config = folder.write("hacheck.yaml", "cache_time: 1\n");
  await using daemon = await start(systemd, {
    args: ["-c", config],
    grants: [`--allow-read=${config}`],
  });
  const others = () => systemd.messages.filter((message) => message !== "WATCHDOG=1");
  await until("systemd knows that the daemon is ready", () => others().length === 1);
  assertMatch(
    others()[0]!,
    /^READY=1\nSTATUS=hacheck \S+ serves port \d+; the configuration is in/,
  );
  daemon.kill("SIGHUP");
  await until("the reload was reported", () => others().length === 3);
  assertEquals(others()[1], "RELOADING=1");
  assertMatch(others()[2]!, /^READY=1\nSTATUS=.*; the configuration was read again$/);
  folder.write("hacheck.yaml", "cache_time: soon\n");
  daemon.kill("SIGHUP");
  await until("the refusal was reported", () => others().length === 5);
  assertMatch(others()[4]!, /^READY=1\nSTATUS=.*; a new configuration was refused: .*cache_time/);
  await daemon.stop();
  await until("the stop was reported", () => others().length === 6);
  assertMatch(others()[5]!, /^STOPPING=1\n/);
});

Deno.test("a file in the place of its socket does not keep the daemon from starting", async () => {
  await using systemd = new NotifySocket();
  Deno.writeTextFileSync(OWN_SOCKET, "left behind");
  await using _daemon = await start(systemd);
  await until("systemd knows that the daemon is ready", () => systemd.messages.length > 0);
  assertMatch(systemd.messages[0]!, /^READY=1\n/);
});

Deno.test("the daemon reports that it is alive until it hangs", async () => {
  await using systemd = new NotifySocket();
  await using daemon = await start(systemd, { grants: [Debugger.GRANT] });
  await until("the daemon reports that it is alive", () => systemd.pings >= 3);
  {
    await using debug = await Debugger.attach(daemon, 0);
    await debug.hang();
  }
  let pings = -1;
  await until(
    "the daemon is silent",
    () => {
      const isSilent = pings === systemd.pings;
      pings = systemd.pings;
      return isSilent;
    },
    60_000,
    2000,
  );
  daemon.kill("SIGKILL");
});

Deno.test("without systemd the daemon notifies nobody, and keeps no permission for it", async () => {
  await using daemon = await Daemon.start({
    grants: ["--allow-env=NOTIFY_SOCKET,WATCHDOG_USEC"],
  });
  const { permissions } = JSON.parse((await daemon.get("/status")).body);
  assertEquals([permissions.write, permissions.others], [[], []]);
  assert(!daemon.log.includes("systemd"));
});
