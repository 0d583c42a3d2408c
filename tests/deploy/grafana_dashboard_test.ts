import { METRICS } from "../../src/metrics/exposition.ts";
import { assert, assertEquals } from "../support/assert.ts";
import { Daemon } from "../support/programs.ts";
import { codeAfter } from "../support/docs.ts";
import { serverTest, until } from "../servers/mod.ts";
import { Prometheus, PROMETHEUS_PROGRAMS } from "../servers/prometheus.ts";

/** A dashboard of Grafana. */
interface Dashboard {
  readonly panels: readonly Panel[];
  readonly templating: { readonly list: readonly Variable[] };
}

interface Panel {
  readonly id: number;
  readonly type: string;
  readonly title: string;
  readonly gridPos: {
    readonly x: number;
    readonly y: number;
    readonly w: number;
    readonly h: number;
  };
  readonly datasource?: { readonly uid: string };
  readonly targets?: readonly { readonly expr: string; readonly datasource: { uid: string } }[];
}

interface Variable {
  readonly name: string;
  readonly definition?: string;
}

const DASHBOARD: Dashboard = JSON.parse(
  Deno.readTextFileSync(new URL("../../deploy/grafana-dashboard.json", import.meta.url)),
);

const EXPRESSIONS = DASHBOARD.panels.flatMap(({ title, targets = [] }) =>
  targets.map(({ expr }) => ({ title, expr }))
);

/** Replaces the variables in an expression, as Grafana does. */
function asked(expression: string): string {
  return expression.replaceAll("$job", "hacheck").replaceAll("$instance", ".*")
    .replaceAll("$__rate_interval", "30s").replaceAll("$__range", "30s");
}

Deno.test("the panels of the dashboard do not overlap, and have titles", () => {
  const { panels } = DASHBOARD;
  assertEquals(new Set(panels.map(({ id }) => id)).size, panels.length);
  const taken = new Map<string, string>();
  for (const { title, gridPos: { x, y, w, h } } of panels) {
    assert(title !== "");
    assert(x + w <= 24, title);
    for (let column = x; column < x + w; column++) {
      for (let line = y; line < y + h; line++) {
        const place = `${column}/${line}`;
        assertEquals([title, taken.get(place)], [title, undefined]);
        taken.set(place, title);
      }
    }
  }
});

Deno.test("the dashboard queries the selected data source, and uses only its own variables", () => {
  const variables = DASHBOARD.templating.list.map(({ name }) => name);
  const text = JSON.stringify(DASHBOARD);
  const used = [...text.matchAll(/\$\{?(\w+)/g)].map(([, name]) => name!);
  for (const name of used.filter((name) => !name.startsWith("__"))) {
    assert(variables.includes(name), name);
  }
  for (const { title, targets = [] } of DASHBOARD.panels) {
    for (const { datasource: { uid }, expr } of targets) {
      assertEquals([title, uid], [title, "${datasource}"]);
      assert(expr.includes('job=~"$job", instance=~"$instance"'), expr);
    }
  }
});

Deno.test("the dashboard shows exactly the metrics that exist", () => {
  const text = EXPRESSIONS.map(({ expr }) => expr).join("\n");
  const shown = [...text.matchAll(/\b((?:hacheck|process)_\w+)\{/g)]
    .map(([, name]) => name!.replace(/_(?:bucket|count|sum)$/, ""));
  const names = METRICS.map(({ name }) => name);
  for (const name of shown) assert(names.includes(name), name);
  // The dashboard shows the uptime instead.
  const missing = names.filter((name) => !shown.includes(name));
  assertEquals(missing, ["process_start_time_seconds"]);
});

serverTest(
  "Prometheus has data for every expression of the dashboard",
  PROMETHEUS_PROGRAMS,
  async () => {
    await using service = Deno.serve(
      { hostname: "127.0.0.1", port: 0, onListen() {} },
      () => new Response("fine"),
    );
    await using daemon = await Daemon.start();
    daemon.writeRecord("db", '{"reason":"maint","creation":1700000000}');
    const ask = async () => {
      // The first request runs the check, the second gets the cached result.
      await daemon.get(`/tcp/web/${service.addr.port}`, { pragma: "no-cache" });
      await daemon.get(`/tcp/web/${service.addr.port}`);
      await daemon.get("/tcp/web/1");
    };
    await ask();
    await using prometheus = await Prometheus.start({
      scrapeConfigs: codeAfter("metrics.md", "In Prometheus' configuration:")
        .replace(/(targets: )\[.*\]/, `$1["127.0.0.1:${daemon.port}"]`),
    });
    // A rate needs two scrapes.
    await prometheus.scraped();
    await ask();
    await prometheus.scraped();

    for (const { title, expr } of EXPRESSIONS) {
      // This daemon has no certificate.
      if (expr.includes("hacheck_tls_certificate_expiry_seconds")) continue;
      const expression = asked(expr);
      assert(!expression.includes("$"), expression);
      let found = await prometheus.query(expression);
      await until(`Prometheus has data for ${title}: ${expression}`, async () => {
        found = await prometheus.query(expression);
        return found.length > 0;
      }, 10_000);
      for (const { value: [, value] } of found) {
        assert(Number(value) >= 0, `${title}: ${expression} is ${value}`);
      }
    }
    for (const { definition } of DASHBOARD.templating.list) {
      if (definition === undefined) continue;
      const [, selector, label] = /^label_values\((.*), (\w+)\)$/.exec(definition) ?? [];
      const found = await prometheus.query(asked(selector!));
      assertEquals(found.length, 1);
      assert(label! in found[0]!.metric, definition);
    }
  },
);
