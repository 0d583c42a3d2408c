import fc from "fast-check";
import { parseCheckPath, pathOf } from "../../src/server/path.ts";
import { assert, assertEquals } from "../support/assert.ts";
import { corrupted, holds, oddText, service } from "./property.ts";

const protocol = fc.constantFrom("spool", "http", "tcp", "redis-info", "gopher", "x");
const query = fc.oneof(
  fc.constant(""),
  oddText("status", "%", "&").map((text) => `/${text}`),
  oddText("status", "%", "&").map((text) => `?${text}`),
);

const checkPath = fc.tuple(protocol, service, fc.nat(99_999), query)
  .map(([protocol, service, port, query]) => `/${protocol}/${service}/${port}${query}`);

Deno.test("The path of a check gives its parts back, the query untouched", () =>
  holds(
    fc.property(
      protocol,
      service,
      fc.integer({ min: 0, max: 99_999 }),
      query,
      (protocol, service, port, query) => {
        const rest = query.startsWith("/") ? query.slice(1) : query;
        const path = rest.startsWith("/") ? rest : `/${rest}`;
        const expected = { protocol, service, port, path };
        assertEquals(parseCheckPath(`/${protocol}/${service}/${port}${query}`), expected);
      },
    ),
    5000,
  ));

Deno.test("What is taken for a check's path is one to the letter", () =>
  holds(
    fc.property(fc.oneof(corrupted(checkPath), oddText("/spool", "/web", "/80")), (path) => {
      const parsed = parseCheckPath(path);
      if (parsed === undefined) return;
      assert(/^[a-z][a-z-]*$/.test(parsed.protocol));
      assert(/^[.\w-]{1,200}$/.test(parsed.service) && !/^\.\.?$/.test(parsed.service));
      const [digits] = /^\d+/.exec(path.split("/")[3]!)!;
      assertEquals(parsed.port, Number(digits));
      const start = `/${parsed.protocol}/${parsed.service}/${digits}`;
      const { path: asked } = parsed;
      assert(asked.startsWith("/"));
      assert(
        [start, ...[asked, `/${asked}`, asked.slice(1)].map((rest) => start + rest)].includes(path),
      );
    }),
    10_000,
  ));

Deno.test("The path is cut out of a URL as it was asked for, whatever the host is", () =>
  holds(
    fc.property(
      oddText("evil").map((text) => text.replace(/[/?]/g, "")),
      oddText("web"),
      (host, path) => {
        assertEquals(pathOf(`http://${host}/${path}`), `/${path}`);
        assertEquals(pathOf(`http://${host}`), "");
        assertEquals(pathOf(`http://${host}?${path}`), "");
      },
    ),
    5000,
  ));
