import axe, { type AxeResults } from "axe-core";
import type { Browser, BrowserContextOptions, Page } from "playwright-core";
import { MAX_STREAMS } from "../../src/page/event_streams.ts";
import { assert, assertEquals, assertMatch } from "../support/assert.ts";
import {
  Daemon,
  type DaemonOptions,
  hactl,
  TempFolder,
  WORKER_GRANTS,
} from "../support/programs.ts";
import { sendRaw } from "../support/raw_http.ts";
import { CHROMIUM_PROGRAMS, startChromium } from "../servers/chromium.ts";
import { afterRequest, FaultyServer, sending } from "../servers/faulty.ts";
import { freePort, missingPrograms, serverTest, until } from "../servers/mod.ts";

const TOKEN = "0123456789-abcdef";

/** Starts a daemon whose spool the page can change. */
async function changeable(config = "", more: DaemonOptions = {}): Promise<[Daemon, TempFolder]> {
  const folder = new TempFolder();
  const spool = folder.file("spool");
  Deno.mkdirSync(spool);
  const daemon = await Daemon.start({
    ...more,
    spool,
    config: `allow_remote_spool_changes: true\nremote_spool_token: ${TOKEN}\n${config}`,
    grants: [`--allow-write=${spool}`, ...more.grants ?? []],
  });
  return [daemon, folder];
}

/** Reads a stream of events. */
class Events implements AsyncDisposable {
  readonly #reader: ReadableStreamDefaultReader<string>;
  #text = "";

  private constructor(reader: ReadableStreamDefaultReader<string>) {
    this.#reader = reader;
  }

  static async open(daemon: Daemon): Promise<Events> {
    const response = await fetch(daemon.url("/events"));
    assertEquals(response.status, 200);
    assertEquals(response.headers.get("content-type"), "text/event-stream; charset=UTF-8");
    return new Events(response.body!.pipeThrough(new TextDecoderStream()).getReader());
  }

  /** Returns the next event of a kind; null if the stream ends before. */
  async next(kind: string): Promise<Record<string, unknown> | null> {
    for (;;) {
      const end = this.#text.indexOf("\n\n");
      if (end < 0) {
        const { value, done } = await this.#reader.read();
        if (done) return null;
        this.#text += value;
        continue;
      }
      const [, event, data] = /^event: (\w+)\ndata: (.*)$/.exec(this.#text.slice(0, end)) ?? [];
      this.#text = this.#text.slice(end + 2);
      if (event === kind) return JSON.parse(data!);
    }
  }

  /** Waits until the stream ends. */
  async end(): Promise<void> {
    let hasEnded = false;
    this.next("end").then(() => hasEnded = true);
    await until("the stream ends", () => hasEnded);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#reader.cancel().catch(() => {});
  }
}

const JSON_ACCEPTED = { accept: "application/json" };

Deno.test("the page escapes control characters of a reason", async () => {
  await using daemon = await Daemon.start();
  await using events = await Events.open(daemon);
  await events.next("downtimes");
  daemon.writeRecord("web", '{"reason": "a\\u202eb\\u001b\\u2066c"}');
  const { downtimes } = await events.next("downtimes") as { downtimes: { reason: string }[] };
  assertEquals(downtimes.map(({ reason }) => reason), ["a\\u202eb\\u001b\\u2066c"]);
});

Deno.test("GET / returns the page for text/html and JSON for application/json", async () => {
  await using daemon = await Daemon.start();
  await hactl(daemon.spool, ["down", "web", "-r", "maint", "-p", String(daemon.port)]);
  for (
    const [accept, type] of [
      ["text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "text/html"],
      ["text/html", "text/html"],
      ["application/json", "application/json"],
      ["image/png, text/html", "text/html"],
      ["*/*, application/json", "application/json"],
      ["text/html;q=0.1, application/json", "application/json"],
    ] as const
  ) {
    const response = await fetch(daemon.url("/"), { headers: { accept } });
    const body = await response.text();
    assertEquals(
      [response.status, response.headers.get("content-type"), response.headers.get("vary")],
      [200, `${type}; charset=UTF-8`, "accept"],
      accept,
    );
    if (type === "text/html") assert(body.startsWith("<!DOCTYPE html>"));
    else assertEquals(JSON.parse(body).downtimes[0].reason, "maint");
  }
});

Deno.test("GET / returns 404 if Accept names neither text/html nor application/json", async () => {
  await using daemon = await Daemon.start();
  const accepts = [
    null,
    "",
    "*/*",
    "text/*",
    "application/*",
    "image/png",
    "text/html;q=0, */*",
    "xtext/html",
  ];
  for (const accept of accepts) {
    for (const method of ["GET", "HEAD"]) {
      const header = accept === null ? "" : `Accept: ${accept}\r\n`;
      for (const version of ["1.0", "1.1"]) {
        const { status, body } = await sendRaw(
          daemon.port,
          `${method} / HTTP/${version}\r\nHost: x\r\nConnection: close\r\n${header}\r\n`,
        );
        assertEquals(status, 404, `${method} / with Accept: ${accept}`);
        if (method === "GET") {
          assertMatch(body, /^Not found: expected \/<protocol>.+ or for the page an Accept header/);
        }
      }
    }
  }
});

Deno.test("the page and its files have a strict content security policy and allow only GET and HEAD", async () => {
  await using daemon = await Daemon.start();
  for (
    const [path, type] of [
      ["/", "application/json"],
      ["/page.css", "text/css"],
      ["/page.js", "text/javascript"],
      ["/page.svg", "image/svg+xml"],
      ["/events", "text/event-stream"],
    ] as const
  ) {
    const response = await fetch(daemon.url(path), { method: "HEAD", headers: JSON_ACCEPTED });
    await response.body?.cancel();
    const { status, headers } = response;
    assertEquals([status, headers.get("content-type")], [200, `${type}; charset=UTF-8`]);
    assertEquals(headers.get("cache-control"), "no-store");
    assertEquals(headers.get("x-content-type-options"), "nosniff");
    assertEquals(headers.get("referrer-policy"), "no-referrer");
    assertEquals(headers.get("cross-origin-resource-policy"), "same-origin");
    const policy = headers.get("content-security-policy")!.split("; ");
    assertEquals(policy[0], "default-src 'none'");
    assertEquals(
      policy.filter((one) => /unsafe|https?:|data:|\*/.test(one)),
      [],
    );
    for (const one of ["base-uri", "form-action", "frame-ancestors"]) {
      assert(policy.includes(`${one} 'none'`), one);
    }
    for (const method of ["POST", "OPTIONS", "PUT", "DELETE"]) {
      const { status, headers, body } = await fetch(daemon.url(path), { method });
      await body?.cancel();
      assertEquals([status, headers.get("allow")], [405, "GET, HEAD"], `${method} ${path}`);
    }
  }
  // Such a URL may be a misspelled check.
  for (const path of ["/?/spool/web/0", "/?", "/events?x", "/page.js?x"]) {
    assertEquals((await daemon.get(path)).status, 404, path);
  }
});

Deno.test("GET /events sends the downtimes that hactl records, and the state of services", async () => {
  await using daemon = await Daemon.start();
  await using service = await FaultyServer.start(
    afterRequest(sending("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", (socket) => socket.end())),
  );
  await using events = await Events.open(daemon);
  assertEquals((await events.next("downtimes"))!.downtimes, []);
  const port = ["-p", String(daemon.port)];
  await hactl(daemon.spool, [
    "down",
    "web",
    "-P",
    "8080",
    "-r",
    "maint",
    "-e",
    "4000000000",
    ...port,
  ]);
  const event = await events.next("downtimes");
  const [downtime] = event!.downtimes as Record<string, unknown>[];
  assertEquals({ ...downtime, creation: 0 }, {
    name: "web:8080",
    service: "web",
    port: 8080,
    host: "127.0.0.1",
    mode: "down",
    reason: "maint",
    expiration: 4000000000,
    creation: 0,
    by: "operator",
  });
  await daemon.get(`/http/api/${service.port}/`);
  await until("the service is reported", async () => {
    const { services } = (await events.next("status"))!;
    const [api] = services as Record<string, unknown>[];
    if (api === undefined) return false;
    const { last, milliseconds } = api as { last: { code: number }; milliseconds: number[] };
    assertEquals([api.service, last.code, milliseconds.length], ["api", 200, 1]);
    assert(milliseconds[0]! > 0);
    return true;
  });
});

Deno.test("with several workers the page reports all of them", async () => {
  await using daemon = await Daemon.start({ args: ["-n", "3"], grants: WORKER_GRANTS });
  const checks = 24;
  const port = freePort();
  for (let i = 0; i < checks; i++) await daemon.get(`/tcp/web/${port}`);
  for (let i = 0; i < 6; i++) {
    const { body } = await daemon.get("/", JSON_ACCEPTED);
    const { event_loops, cache, services, failing } = JSON.parse(body);
    assertEquals([event_loops, cache.gets, services.length], [3, checks, 1]);
    assertEquals(failing.length, 1);
    assertEquals([failing[0].service, failing[0].port, failing[0].reason], [
      "web",
      port,
      "refused",
    ]);
    assert(services[0].milliseconds.every((one: number) => one < 0), "the port is closed");
  }
  const streams = await Promise.all(Array.from({ length: 6 }, () => Events.open(daemon)));
  for (const stream of streams) await stream.next("downtimes");
  await hactl(daemon.spool, ["down", "web", "-r", "maint", "-p", String(daemon.port)]);
  for (const stream of streams) {
    assertEquals((await stream.next("downtimes"))!.downtimes instanceof Array, true);
    await stream[Symbol.asyncDispose]();
  }
});

Deno.test("GET /events returns 503 above MAX_STREAMS streams, and 200 once one has ended", async () => {
  await using daemon = await Daemon.start();
  const streams = await Promise.all(
    Array.from({ length: MAX_STREAMS }, () => Events.open(daemon)),
  );
  try {
    assertEquals(await daemon.get("/events"), {
      status: 503,
      body: "Too many open event streams: at most 32",
    });
    await streams[3]![Symbol.asyncDispose]();
    await until("another stream is accepted", async () => {
      const { status, body } = await fetch(daemon.url("/events"));
      await body?.cancel();
      return status === 200;
    });
  } finally {
    for (const stream of streams) await stream[Symbol.asyncDispose]();
  }
});

for (const loops of ["1", "2"]) {
  Deno.test(`a stopping daemon with ${loops} workers does not wait for open event streams`, async () => {
    await using daemon = await Daemon.start({
      args: ["-n", loops],
      grants: WORKER_GRANTS,
      // A stopping daemon waits this long for requests in flight.
      config: "healthcheck_timeout: 3600\n",
    });
    const streams = await Promise.all(Array.from({ length: 4 }, () => Events.open(daemon)));
    for (const stream of streams) assert(await stream.next("status") !== null);
    daemon.kill("SIGTERM");
    let status: Deno.CommandStatus | undefined;
    daemon.ended().then((ended) => status = ended);
    await until("it has ended", () => status !== undefined);
    assertEquals(status!.code, 0);
    for (const stream of streams) {
      await stream.end();
      await stream[Symbol.asyncDispose]();
    }
  });
}

Deno.test("a client that a reload removes from allowed_clients loses its event stream", async () => {
  using folder = new TempFolder();
  const config = folder.write("hacheck.yaml", "allowed_clients: [127.0.0.0/8]\n");
  await using daemon = await Daemon.start({
    args: ["-c", config],
    grants: [`--allow-read=${config}`],
  });
  await using events = await Events.open(daemon);
  assert(await events.next("status") !== null);
  folder.write("hacheck.yaml", "allowed_clients: [192.0.2.1]\n");
  daemon.kill("SIGHUP");
  await daemon.logged(/the configuration was read again/);
  await events.end();
  assertEquals(await daemon.get("/events"), { status: 403, body: "Forbidden" });
  assertEquals(await daemon.get("/"), { status: 403, body: "Forbidden" });
});

/** A page whose errors and requests to other sites are recorded. */
class Watched implements AsyncDisposable {
  readonly page: Page;
  readonly problems: string[] = [];
  navigations = 0;

  private constructor(page: Page) {
    this.page = page;
    page.on("console", (message) => this.problems.push(`${message.type()}: ${message.text()}`));
    page.on("pageerror", (error) => this.problems.push(`error: ${error.message}`));
    page.on("framenavigated", () => this.navigations++);
    page.on("request", (request) => {
      const { origin } = new URL(request.url());
      if (origin !== new URL(page.url()).origin && page.url() !== "about:blank") {
        this.problems.push(`request to another site: ${request.url()}`);
      }
    });
  }

  static async open(
    browser: Browser,
    daemon: Daemon,
    options: BrowserContextOptions = {},
  ): Promise<Watched> {
    const watched = new Watched(await browser.newPage(options));
    await watched.page.addInitScript(
      `addEventListener("securitypolicyviolation", (event) => console.error("violation", event.violatedDirective))`,
    );
    await watched.page.goto(daemon.url("/"));
    await watched.shows("#link", /^Live$/);
    return watched;
  }

  /** Returns the text of an element. */
  async text(selector: string): Promise<string> {
    return (await this.page.locator(selector).first().textContent({ timeout: 60_000 }) ?? "")
      .trim();
  }

  /** Waits until the text of an element matches. */
  async shows(selector: string, pattern: RegExp): Promise<void> {
    await until(
      `${selector} shows ${pattern}`,
      async () => pattern.test(await this.text(selector)),
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.page.context().close();
  }
}

/** The browser of all tests. Each page of it has a context of its own. */
let chromium: Browser | undefined;
Deno.test.beforeAll(async () => {
  if (missingPrograms(CHROMIUM_PROGRAMS).length === 0) chromium = await startChromium();
});
Deno.test.afterAll(() => chromium?.close());

/** Registers a test with a browser. */
function browserTest(name: string, fn: (browser: Browser) => Promise<void>): void {
  serverTest(name, CHROMIUM_PROGRAMS, () => fn(chromium!));
}

browserTest("the page shows changes by hactl without a reload", async (browser) => {
  await using daemon = await Daemon.start();
  await using watched = await Watched.open(browser, daemon);
  await watched.shows("h1", /^Nothing is down$/);
  const { navigations } = watched;
  await watched.page.evaluate("window.before = 1");
  const port = ["-p", String(daemon.port)];
  await hactl(daemon.spool, ["down", "web", "-r", "kernel update", ...port]);
  await watched.shows("h1", /^web is down$/);
  assertMatch(await watched.text("#downtimes tbody tr"), /^webdownkernel update.*ago/);
  assertMatch(await watched.page.title(), /^\(1\) 127\.0\.0\.1:\d+ – hacheck$/);
  await hactl(daemon.spool, ["down", "db", "-P", "5432", "-r", "x", ...port]);
  await watched.shows("h1", /^db:5432 and web are down$/);
  await hactl(daemon.spool, ["down", "all", "-r", "x", ...port]);
  await watched.shows("h1", /^Everything is down$/);
  daemon.writeRecord(".weight:web", '{"weight": 50, "reason": "warming up"}');
  await watched.shows("#weights tbody tr", /^web50 %warming up/);
  Deno.removeSync(`${daemon.spool}/.weight:web`);
  for (const name of ["all", "db:5432", "web"]) Deno.removeSync(`${daemon.spool}/${name}`);
  await watched.shows("h1", /^Nothing is down$/);
  daemon.writeRecord("web", '{"mode": "drain", "reason": "x"}');
  await watched.shows("h1", /^web is draining$/);
  assertEquals(await watched.page.locator("#weights").isVisible(), false);
  assertEquals([watched.navigations, await watched.page.evaluate("window.before")], [
    navigations,
    1,
  ]);
  assertEquals(watched.problems, []);
});

browserTest(
  "the page shows checks, and internal errors of hacheck",
  async (browser) => {
    await using daemon = await Daemon.start({ config: "cache_time: 0\n" });
    await using service = await FaultyServer.start(
      afterRequest(
        sending("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", (socket) => socket.end()),
      ),
    );
    const port = freePort();
    await using watched = await Watched.open(browser, daemon);
    await watched.shows("#services .more", /^No checks yet\.$/);
    for (let i = 0; i < 3; i++) {
      await daemon.get(`/http/api/${service.port}/`);
      await daemon.get(`/tcp/db/${port}`);
    }
    await watched.shows("#services tbody tr:nth-child(1)", /^dbdown, 503/);
    await watched.shows("#services tbody tr:nth-child(2)", /^apiup, 200/);
    await watched.shows("#summary p", /^db fails its checks and has no downtime\.$/);
    await until("each has three checks", async () => {
      const bars = (css: string) => watched.page.locator(`#services tr ${css}`).count();
      return await bars("rect.up") === 3 && await bars("rect.down") === 3;
    });
    assertMatch(
      await watched.page.locator("#services svg").first().getAttribute("aria-label") ?? "",
      /^3 checks, 3 failed, /,
    );
    Deno.mkdirSync(`${daemon.spool}/web`);
    await watched.shows("#alarms", /^1 invalid record in the spool, counted as down: web$/);
    assertEquals(watched.problems, []);
  },
);

browserTest(
  "the page shows failing checks first, and their last failures on demand",
  async (browser) => {
    const body = `<img src=x onerror="document.title='had'"><b>had</b>\u202eabc`;
    await using daemon = await Daemon.start({ config: "cache_time: 0\n" });
    await using service = await FaultyServer.start(
      afterRequest(
        sending(
          new TextEncoder().encode(
            `HTTP/1.1 500 Broken\r\nContent-Length: ${body.length + 2}\r\n\r\n${body}`,
          ),
          (socket) => socket.end(),
        ),
      ),
    );
    const port = freePort();
    await using watched = await Watched.open(browser, daemon);
    const failing = watched.page.locator("#failing");
    assertEquals(await failing.isVisible(), false);
    for (let i = 0; i < 2; i++) {
      await daemon.get(`/http/api/${service.port}/status`);
      await daemon.get(`/tcp/db/${port}`);
    }
    await watched.shows("h1", /^api and db are failing$/);
    assertEquals(await watched.page.locator("#summary.down").count(), 1);
    const row = (name: string) => `#failing tbody tr:has(th:text("${name}"))`;
    await watched.shows(
      row("db"),
      new RegExp(
        `^db:${port} tcpConnection refused\\d.* ago.*127\\.0\\.0\\.1:${port}.*Last failures`,
      ),
    );
    await watched.shows(
      row("api"),
      new RegExp(`^api:${service.port} httpHTTP status of a failure`),
    );
    // It is above everything but the summary and the alarms.
    assertEquals(
      await watched.page.evaluate(
        `[...document.querySelectorAll("main > *:not([hidden])")].map(({ id }) => id).slice(0, 3).join()`,
      ),
      "summary,alarms,failing",
    );
    const summary = watched.page.locator(`${row("db")} summary`);
    await summary.focus();
    await watched.page.keyboard.press("Enter");
    await watched.shows(`${row("db")} details p`, new RegExp(`^tcp db:${port} is down since \\d`));
    await watched.shows(
      `${row("db")} ol`,
      /^\d\d:\d\d:\d\d Connection refused \(.*\d\d:\d\d:\d\d Connection refused \(/,
    );
    await watched.page.locator(`${row("api")} summary`).click();
    await watched.shows(
      `${row("api")} ol`,
      /HTTP status of a failure \(.* ms\): .*<b>had<\/b>\\u202eabc/,
    );
    assertEquals(await watched.page.locator("main img, main script, main b").count(), 0);
    assertEquals((await watched.text("main")).includes("\u202e"), false);

    // A downtime explains the failure: it is planned, with a hint.
    daemon.writeRecord("db", "kernel update");
    await watched.shows("h1", /^api is failing, db is down$/);
    await watched.shows(
      "#downtimes .why",
      new RegExp(
        `^kernel updateFailing, too, when last checked: db:${port} \\(Connection refused, \\d.*\\)\\.$`,
      ),
    );
    assertEquals(await watched.page.locator(row("db")).count(), 0);
    await service[Symbol.asyncDispose]();
    assertEquals(watched.problems, []);
  },
);

browserTest(
  "the page shows all services, in the natural order, by pages and by a filter",
  async (browser) => {
    await using daemon = await Daemon.start();
    const count = 230;
    for (let i = 1; i <= count; i++) await daemon.get(`/spool/web${i}/0`);
    const port = freePort();
    await daemon.get(`/tcp/web7/${port}`);
    daemon.writeRecord("web9", "maint");
    await daemon.get("/spool/web9/0");
    await using watched = await Watched.open(browser, daemon);
    const names = () => watched.page.locator("#services tbody th").allTextContents();
    await watched.shows("#pages span", /^1 to 100 of 230$/);
    const first = ["web7", "web9", "web1", "web2", "web3", "web4", "web5", "web6", "web8", "web10"];
    assertEquals((await names()).slice(0, 10), first);
    assertEquals(await watched.page.locator("#previous").isDisabled(), true);
    await watched.page.locator("#next").press("Enter");
    await watched.shows("#pages span", /^101 to 200 of 230$/);
    await watched.page.locator("#next").click();
    await watched.shows("#pages span", /^201 to 230 of 230$/);
    assertEquals((await names()).at(-1), "web230");
    assertEquals(await watched.page.locator("#next").isDisabled(), true);

    const text = watched.page.locator("#filter [name=text]");
    const state = watched.page.locator("#filter [name=state]");
    await text.fill("WEB22");
    const found = ["web22", ...Array.from({ length: 10 }, (_, i) => `web${220 + i}`)];
    assertEquals(await names(), found);
    await watched.shows("#services .more", /^11 services of 230 match the filter\.$/);
    await watched.shows("#failing .more", /^1 do not match the filter$/);
    await text.fill("");
    await state.selectOption("failing");
    assertEquals(await names(), ["web7"]);
    await state.selectOption("planned");
    assertEquals(await names(), ["web9"]);
    assertEquals(await watched.page.locator("#downtimes tbody tr").count(), 1);
    await state.selectOption("up");
    await watched.shows("#pages span", /^1 to 100 of 228$/);
    assertEquals(watched.problems, []);
  },
);

browserTest(
  "the page shows in amber what no balancer has asked for in a minute",
  async (browser) => {
    await using daemon = await Daemon.start();
    const port = freePort();
    await daemon.get(`/tcp/db/${port}`);
    await daemon.get("/spool/web/0");
    const report = JSON.parse((await daemon.get("/", JSON_ACCEPTED)).body);
    // Two minutes later.
    report.now += 120;
    report.failing[0].unasked_since = report.failing[0].at;
    const page = await browser.newPage();
    await page.route("**/events", (route) =>
      route.fulfill({
        contentType: "text/event-stream",
        body: ["downtimes", "status"].map((kind) =>
          `event: ${kind}\ndata: ${JSON.stringify(report)}\n\n`
        ).join(""),
      }));
    await page.goto(daemon.url("/"));
    const row = page.locator("#services tbody tr:has(.is-unasked)");
    await row.nth(1).waitFor();
    assertMatch(await row.nth(0).textContent() ?? "", /^dbdown, 503not asked since \d/);
    assertMatch(await row.nth(1).textContent() ?? "", /^webup, 200not asked since \d/);
    assertMatch(
      await page.locator("#failing .is-unasked").textContent() ?? "",
      /^Connection refused, not asked since \d/,
    );
    assertEquals(await page.locator("h1").textContent(), "Nothing is down");
    assertEquals(await page.locator("#summary.unasked").count(), 1);
    assertEquals(
      await page.locator("#summary p").textContent(),
      "No balancer has asked for db and web for a minute.",
    );
    await page.context().close();
  },
);

browserTest("the page shows a reason as text, never as markup", async (browser) => {
  await using daemon = await Daemon.start();
  const reason = `<img src=x onerror="document.title='had'"><script>document.title='had'</script>` +
    `&lt;b&gt; javascript:alert(1) "'\`\u2028</td></table><h1>had</h1>`;
  daemon.writeRecord("web", JSON.stringify({ reason }));
  await using watched = await Watched.open(browser, daemon);
  await watched.shows("#downtimes .why", /^<img/);
  // Only invisible characters are escaped.
  assertEquals(await watched.text("#downtimes .why"), reason.replace("\u2028", "\\u2028"));
  assertEquals(await watched.page.locator("main img, main script, main b").count(), 0);
  assertEquals(await watched.page.locator("h1").count(), 1);
  assertMatch(await watched.page.title(), /hacheck$/);
  assertEquals(watched.problems, []);
});

browserTest(
  "trusted types keep the page's own script from making markup of text",
  async (browser) => {
    await using daemon = await Daemon.start();
    await using watched = await Watched.open(browser, daemon);
    for (const slip of ['document.body.innerHTML = "<p>x"', 'document.write("x")']) {
      const tried = `(() => { try { ${slip}; return "done"; } catch (e) { return e.name; } })()`;
      assertEquals(await watched.page.evaluate(tried), "TypeError", slip);
    }
  },
);

for (const colorScheme of ["dark", "light"] as const) {
  browserTest(
    `the ${colorScheme} page passes axe and fits a phone`,
    async (browser) => {
      const [daemon, folder] = await changeable("cache_time: 0\n");
      using _folder = folder;
      await using _daemon = daemon;
      const long = "a-service-with-a-long-name.of.some.department.example.internal";
      const mark = (name: string, record: Record<string, unknown>) =>
        daemon.writeRecord(name, JSON.stringify(record));
      mark("web", { reason: "kernel update", creation: 1e9, expiration: 4e9 });
      mark("db:5432", { reason: `${"x".repeat(300)} y`, creation: Date.now() / 1000 });
      mark(long, { reason: "", mode: "drain" });
      mark(".weight:web", { weight: 50, reason: "warming up" });
      Deno.mkdirSync(`${daemon.spool}/faulty`);
      const port = freePort();
      for (let i = 0; i < 30; i++) await daemon.get(`/tcp/${long}2/${port}`);
      for (let i = 0; i < 9; i++) await daemon.get(`/spool/up${i}/0`);
      for (const width of [360, 1280]) {
        const viewport = { width, height: 780 };
        await using watched = await Watched.open(browser, daemon, { colorScheme, viewport });
        await watched.shows("h1", /down/);
        await watched.shows("#alarms", /faulty/);
        await watched.page.locator("#filter").waitFor();
        await watched.page.locator("#failing summary").click();
        await watched.page.locator("#services summary").first().click();
        for (const table of ["failing", "services"]) {
          await watched.page.locator(`#${table} ol`).first().waitFor();
        }
        await watched.page.evaluate(axe.source);
        const { violations, incomplete }: AxeResults = await watched.page.evaluate("axe.run()");
        const described = (found: typeof violations) =>
          found.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(" ")}`);
        assertEquals(described(violations), []);
        assertEquals(described(incomplete.filter(({ id }) => id === "color-contrast")), []);
        assertEquals(await watched.page.evaluate("document.documentElement.scrollWidth"), width);
        assertEquals(watched.problems, []);
      }
    },
  );
}

browserTest(
  "the page can be used by keyboard, and changes the spool with the token",
  async (browser) => {
    const [daemon, folder] = await changeable();
    using _folder = folder;
    await using _daemon = daemon;
    daemon.writeRecord("old", "maint");
    await using watched = await Watched.open(browser, daemon);
    const { page } = watched;
    await watched.shows("h1", /^old is down$/);
    await watched.page.locator("#downtimes button").waitFor();

    // Tab reaches every control in the order of the page, and the focus is visible.
    const usable = await page.locator("button:visible, input:visible, select:visible").count();
    const reached: string[] = [];
    for (let i = 0; i < usable; i++) {
      await page.keyboard.press("Tab");
      const focused = page.locator(":focus");
      reached.push(
        (await focused.getAttribute("name")) ?? (await focused.getAttribute("aria-label")) ??
          (await focused.textContent() ?? ""),
      );
      assertEquals(
        await page.evaluate("getComputedStyle(document.activeElement).outlineStyle"),
        "solid",
      );
    }
    assertEquals(reached, [
      ...[
        "End downtime of old",
        "status",
        "service",
        "port",
        "reason",
        "minutes",
        "token",
        "Start downtime",
      ],
    ]);

    const enter = async (name: string, text: string) => {
      await page.locator(`form [name=${name}]`).focus();
      await page.keyboard.type(text);
    };
    await enter("service", "web");
    await enter("port", "8080");
    await enter("reason", "by keyboard & more");
    await enter("minutes", "30");
    await enter("token", "wrong-wrong-wrong");
    await page.keyboard.press("Enter");
    await watched.shows("#outcome", /^Nothing was changed: wrong token\.$/);
    assertEquals((await daemon.get("/spool/web/8080")).status, 200);

    await page.locator("form [name=token]").fill(TOKEN);
    await page.keyboard.press("Enter");
    await watched.shows("#outcome", /^web:8080 is down\.$/);
    await watched.shows("h1", /^old and web:8080 are down$/);
    assertMatch((await daemon.get("/spool/web/8080")).body, /until .*: by keyboard & more$/);
    const { expiration } = JSON.parse(Deno.readTextFileSync(`${daemon.spool}/web:8080`));
    assert(Math.abs(expiration - Date.now() / 1000 - 1800) < 300);

    await page.locator("form [name=status]").selectOption("drain");
    await enter("service", "api");
    await enter("reason", "deploy");
    await page.locator("form button").press("Enter");
    await watched.shows("#outcome", /^api is draining\.$/);
    await watched.shows("h1", /^old and web:8080 are down, api is draining$/);
    assertMatch((await daemon.get("/spool/api/0")).body, /^Service api in drain state .*: deploy$/);
    await page.locator("form [name=status]").selectOption("up");
    await enter("service", "api");
    await page.locator("form button").press("Enter");
    await watched.shows("#outcome", /^api has no downtime\.$/);
    await watched.shows("h1", /^old and web:8080 are down$/);

    // The row's button asks for confirmation.
    page.once("dialog", (dialog) => dialog.dismiss());
    await page.locator("#downtimes button").first().click();
    assertEquals((await daemon.get("/spool/old/0")).status, 503);
    page.once("dialog", (dialog) => dialog.accept());
    await page.locator("#downtimes button").first().press("Enter");
    await watched.shows("h1", /^web:8080 is down$/);
    assertEquals((await daemon.get("/spool/old/0")).status, 200);

    // The token is only kept in memory.
    assertEquals(await page.evaluate("localStorage.length + sessionStorage.length"), 0);
    assertEquals(await page.evaluate("document.cookie"), "");
    // The browser itself logs a 401 on the console.
    assertEquals(watched.problems.filter((problem) => !/status of 401/.test(problem)), []);
  },
);

browserTest("the page has no controls if the spool may not be changed", async (browser) => {
  using folder = new TempFolder();
  const spool = folder.file("spool");
  Deno.mkdirSync(spool);
  for (
    const [config, why] of [
      ["# nothing\n", /allow_remote_spool_changes is off/],
      ["allow_remote_spool_changes: true\n", /no remote_spool_token is configured/],
    ] as const
  ) {
    await using daemon = await Daemon.start({
      spool,
      config,
      grants: [`--allow-write=${spool}`],
    });
    Deno.writeTextFileSync(`${spool}/web`, "maint");
    await using watched = await Watched.open(browser, daemon);
    await watched.shows("#unchanging", why);
    await watched.shows("h1", /web is down/);
    assertEquals(
      await watched.page.locator("button:visible, input:visible, select:visible").count(),
      0,
    );
  }
});

browserTest(
  "another site's page can neither change the spool nor read the page",
  async (browser) => {
    using folder = new TempFolder();
    const spool = folder.file("spool");
    Deno.mkdirSync(spool);
    await using daemon = await Daemon.start({
      spool,
      config: "allow_remote_spool_changes: true\n",
      grants: [`--allow-write=${spool}`],
    });
    // To a browser, another port of the same host is another origin.
    const evil = Deno.serve(
      { hostname: "127.0.0.1", port: 0, onListen: () => {} },
      () =>
        new Response(
          `<!DOCTYPE html><title>evil</title><iframe name=frame></iframe>
        <form method=post target=frame action="${daemon.url("/spool/web/0/status")}">
        <input name=status value=down><input name=reason value=evil><button>x</button></form>`,
          { headers: { "content-type": "text/html" } },
        ),
    );
    try {
      const page = await browser.newPage();
      await page.goto(`http://localhost:${evil.addr.port}/`);
      const answered = page.waitForResponse((response) => response.url().includes("/spool/web/"));
      await page.locator("button").click();
      assertEquals((await answered).status(), 403);
      const outcomes = await page.evaluate(`Promise.all([
      fetch("${daemon.url("/spool/web/0/status")}", {
        method: "POST", mode: "no-cors", body: new URLSearchParams({ status: "down", reason: "evil" }),
      }).then(({ type }) => type),
      fetch("${daemon.url("/")}").then(() => "read", () => "not read"),
      new Promise((resolve) => {
        const events = new EventSource("${daemon.url("/events")}");
        events.onopen = () => resolve("open");
        events.onerror = () => { events.close(); resolve("refused"); };
      }),
    ])`);
      assertEquals(outcomes, ["opaque", "not read", "refused"]);
      assertEquals((await daemon.get("/spool/web/0")).status, 200);
      assertEquals([...Deno.readDirSync(spool)], []);
      await page.context().close();
    } finally {
      await evil.shutdown();
    }
    // Clients that are no browsers can still change the spool.
    const { status, body } = await fetch(daemon.url("/spool/web/0/status"), {
      method: "POST",
      body: new URLSearchParams({ status: "down", reason: "maint" }),
    });
    await body?.cancel();
    assertEquals([status, (await daemon.get("/spool/web/0")).status], [200, 503]);
  },
);

browserTest("the page reports a lost connection and reconnects", async (browser) => {
  using folder = new TempFolder();
  const spool = folder.file("spool");
  Deno.mkdirSync(spool);
  const args = ["-p", String(freePort())];
  const first = await Daemon.start({ spool, args });
  await using watched = await (async () => {
    await using daemon = first;
    const watched = await Watched.open(browser, daemon);
    await watched.shows("h1", /^Nothing is down$/);
    return watched;
  })();
  await watched.shows("#link", /^Connection lost at \d.*Reconnecting/);
  const { navigations } = watched;
  Deno.writeTextFileSync(`${spool}/web`, "maint");
  await using _second = await Daemon.start({ spool, args });
  await watched.shows("#link", /^Live$/);
  await watched.shows("h1", /^web is down$/);
  assertEquals(watched.navigations, navigations);
  assertEquals(watched.problems.filter((problem) => !/Failed to load resource/.test(problem)), []);
});
