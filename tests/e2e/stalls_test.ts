import { assertEquals, assertMatch } from "../support/assert.ts";
import { Daemon, type DaemonOptions, TempFolder } from "../support/programs.ts";
import { parseResponse, RawConnection } from "../support/raw_http.ts";
import { delay, stall, STALL_MS } from "../support/stalls.ts";
import { afterRequest, type Behaviour, FaultyServer } from "../servers/faulty.ts";

/** A service whose requests the test responds to. */
class Service implements AsyncDisposable {
  readonly #server: FaultyServer;
  readonly #requests: (() => void)[] = [];
  #wake: () => void = () => {};

  private constructor(server: FaultyServer) {
    this.#server = server;
  }

  /**
   * Starts a service.
   *
   * @param early What it sends at once after a request.
   * @param late What it sends when the test responds.
   */
  static async start(early: string, late: string): Promise<Service> {
    const behaviour: Behaviour = (socket) => {
      if (early !== "") socket.write(early);
      service.#requests.push(() => void socket.write(late));
      service.#wake();
    };
    const service: Service = new Service(await FaultyServer.start(afterRequest(behaviour)));
    return service;
  }

  get port(): number {
    return this.#server.port;
  }

  /** Waits for the next request, and returns the function that responds to it. */
  async nextRequest(): Promise<() => void> {
    while (this.#requests.length === 0) {
      await new Promise<void>((resolve) => this.#wake = resolve);
    }
    return this.#requests.shift()!;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server[Symbol.asyncDispose]();
  }
}

const OK = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

/** The phases of a check in which the daemon stalls. */
const PHASES: readonly {
  name: string;
  config?: string;
  mayWrite?: boolean;
  early?: string;
  late?: string;
  act: (daemon: Daemon, service: Service) => Promise<void>;
}[] = [
  {
    name: "before a check of the spool is sent",
    async act(daemon) {
      let responses: ReturnType<Daemon["get"]>[] = [];
      daemon.writeRecord("down", "maint");
      while ((await daemon.get("/spool/down/0")).status !== 503);
      await stall(daemon, () => {
        responses = ["up", "down"].map((name) => daemon.get(`/spool/${name}/0`));
      });
      assertEquals((await Promise.all(responses)).map(({ status }) => status), [200, 503]);
    },
  },
  {
    name: "within the request line",
    async act(daemon) {
      daemon.writeRecord("down", "maint");
      while ((await daemon.get("/spool/down/0")).status !== 503);
      for (const [name, expected] of [["up", 200], ["down", 503]] as const) {
        using connection = await RawConnection.open(daemon.port);
        await connection.send(`GET /spool/${name}`);
        await stall(daemon, () => connection.send("/0 HTTP/1.0\r\n\r\n"));
        assertEquals(parseResponse(await connection.readAll()).status, expected);
      }
    },
  },
  {
    name: "while the result is in the cache",
    async act(daemon, service) {
      const path = `/http/web/${service.port}/`;
      const first = daemon.get(path);
      (await service.nextRequest())();
      assertEquals(await first, { status: 200, body: "hello" });
      let response: ReturnType<Daemon["get"]> | undefined;
      await stall(daemon, () => {
        response = daemon.get(path);
      });
      assertEquals(await response, { status: 200, body: "hello" });
    },
  },
  {
    name: "after the check has begun",
    async act(daemon, service) {
      const response = daemon.get(`/http/web/${service.port}/`);
      await stall(daemon);
      (await service.nextRequest())();
      assertEquals(await response, { status: 200, body: "hello" });
    },
  },
  {
    name: "after the service got the request",
    async act(daemon, service) {
      const response = daemon.get(`/http/web/${service.port}/`);
      const respond = await service.nextRequest();
      await stall(daemon, respond);
      assertEquals(await response, { status: 200, body: "hello" });
    },
  },
  {
    name: "within the service's headers",
    early: OK.slice(0, 20),
    late: OK.slice(20),
    async act(daemon, service) {
      const response = daemon.get(`/http/web/${service.port}/`);
      const respond = await service.nextRequest();
      await delay(50);
      await stall(daemon, respond);
      assertEquals(await response, { status: 200, body: "hello" });
    },
  },
  {
    name: "within the service's body",
    early: OK.slice(0, -3),
    late: OK.slice(-3),
    async act(daemon, service) {
      const response = daemon.get(`/http/web/${service.port}/`);
      const respond = await service.nextRequest();
      await delay(50);
      await stall(daemon, respond);
      assertEquals(await response, { status: 200, body: "hello" });
    },
  },
  {
    name: "while checks are queued",
    config: "max_clients: 1\n",
    async act(daemon, service) {
      const responses = [1, 2, 3].map((i) => daemon.get(`/http/web/${service.port}/${i}`));
      const respond = await service.nextRequest();
      await stall(daemon, respond);
      (await service.nextRequest())();
      (await service.nextRequest())();
      for (const response of await Promise.all(responses)) {
        assertEquals(response, { status: 200, body: "hello" });
      }
    },
  },
  {
    name: "over the deadline of a check whose response came in time",
    config: "healthcheck_timeout: 2\n",
    async act(daemon, service) {
      for (let attempts = 0; attempts < 10; attempts++) {
        const startedAt = performance.now();
        const response = daemon.get(`/http/web/${service.port}/`, { pragma: "no-cache" });
        const respond = await service.nextRequest();
        await delay(1700 - (performance.now() - startedAt));
        let isInTime = false;
        await stall(daemon, async () => {
          respond();
          isInTime = performance.now() - startedAt < 1900;
          await delay(300);
        });
        const { status, body } = await response;
        // On a busy machine the test itself may be late.
        if (isInTime) return assertEquals([status, body], [200, "hello"]);
      }
      throw new Error("the test was always late");
    },
  },
  {
    name: "within the form of a change of the spool",
    config: "allow_remote_spool_changes: true\n",
    mayWrite: true,
    async act(daemon) {
      const change = async (form: string) => {
        using connection = await RawConnection.open(daemon.port);
        await connection.send(
          "POST /spool/web/0/status HTTP/1.0\r\n" +
            "Content-Type: application/x-www-form-urlencoded\r\n" +
            `Content-Length: ${form.length}\r\n\r\n${form.slice(0, 8)}`,
        );
        await delay(50);
        await stall(daemon, () => connection.send(form.slice(8)));
        assertEquals(parseResponse(await connection.readAll()).status, 200);
      };
      await change("status=down&reason=maint");
      const { status, body } = await daemon.get("/spool/web/0");
      assertEquals(status, 503);
      assertMatch(body, /^Service web in down state since [\d.]+: maint$/);
      await change("status=up");
      assertEquals((await daemon.get("/spool/web/0")).status, 200);
    },
  },
  {
    name: "before its status pages are requested",
    async act(daemon) {
      const pages = ["/status", "/status/count", "/recent", "/status/downtimes", "/metrics"];
      const before = await Promise.all(pages.map((page) => daemon.get(page)));
      let responses: ReturnType<Daemon["get"]>[] = [];
      await stall(daemon, () => {
        responses = pages.map((page) => daemon.get(page));
      });
      const statuses = (await Promise.all(responses)).map(({ status }) => status);
      assertEquals(statuses, before.map(({ status }) => status));
    },
  },
];

for (const { name, config, mayWrite = false, early = "", late = OK, act } of PHASES) {
  Deno.test(`a daemon that stalls ${STALL_MS} ms ${name} sends no wrong response`, async () => {
    using folder = new TempFolder();
    const options: DaemonOptions = {
      spool: folder.path,
      ...config === undefined ? {} : { config },
      grants: mayWrite ? [`--allow-write=${folder.path}`] : [],
    };
    await using service = await Service.start(early, late);
    await using daemon = await Daemon.start(options);
    await daemon.get("/status");
    await act(daemon, service);
  });
}
