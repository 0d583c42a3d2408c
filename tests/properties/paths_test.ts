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

Deno.test("parseCheckPath() returns the parts of a path, with the query unchanged", () =>
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

Deno.test("parseCheckPath() accepts only paths of checks", () =>
  holds(
    fc.property(fc.oneof(corrupted(checkPath), oddText("/spool", "/web", "/80")), (path) => {
      const parsed = parseCheckPath(path);
      if (parsed === undefined) return;
      assert(/^[a-z][a-z0-9-]*$/.test(parsed.protocol));
      assert(/^[.\w-]{1,200}$/.test(parsed.service) && !/^\.\.?$/.test(parsed.service));
      const [digits] = /^\d+/.exec(path.split("/")[3]!)!;
      assertEquals(parsed.port, Number(digits));
      const start = `/${parsed.protocol}/${parsed.service}/${digits}`;
      const { path: rest } = parsed;
      assert(rest.startsWith("/"));
      assert(
        [start, ...[rest, `/${rest}`, rest.slice(1)].map((end) => start + end)].includes(path),
      );
    }),
    10_000,
  ));

Deno.test("pathOf() returns the path of a URL unchanged, for any host", () =>
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
