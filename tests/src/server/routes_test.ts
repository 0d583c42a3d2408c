import { MAX_ROUTE_LENGTH, MAX_ROUTES, Routes } from "../../../src/server/routes.ts";
import { assert, assertEquals } from "../../support/assert.ts";

const HOST = "http://10.0.0.1:3333";

Deno.test("a URL that was read is remembered, with the question that it led to", () => {
  const routes = new Routes();
  const route = routes.of(`${HOST}/tcp/web/8080`);
  assertEquals(route, {
    path: "/tcp/web/8080",
    check: { protocol: "tcp", service: "web", port: 8080, path: "/" },
    question: undefined,
    askedAt: 0,
    others: [],
    counters: undefined,
  });
  assert(routes.of(`${HOST}/tcp/web/8080`) === route);
  assert(routes.of(`${HOST}/tcp/web/8081`) !== route);
  assert(routes.of("http://10.0.0.2:3333/tcp/web/8080") !== route);
});

Deno.test("a URL that is no check's is read, and not remembered", () => {
  const routes = new Routes();
  const route = routes.of(`${HOST}/status?x`);
  assertEquals(route, {
    path: "/status?x",
    check: undefined,
    question: undefined,
    askedAt: 0,
    others: [],
    counters: undefined,
  });
  assert(routes.of(`${HOST}/status?x`) !== route);
});

Deno.test("so many URLs are remembered, and the one not asked for longest is forgotten first", () => {
  const routes = new Routes();
  const read = (port: number) => routes.of(`${HOST}/tcp/web/${port}`);
  const first = [read(1), read(2)];
  for (let port = 3; port <= MAX_ROUTES; port++) read(port);
  assert(read(1) === first[0]);
  read(MAX_ROUTES + 1);
  assertEquals([read(1) === first[0], read(2) === first[1]], [true, false]);
});

Deno.test("a URL is remembered up to its longest", () => {
  const routes = new Routes();
  const url = `${HOST}/http/web/80/`.padEnd(MAX_ROUTE_LENGTH, "x");
  assert(routes.of(url) === routes.of(url));
  assert(routes.of(`${url}x`) !== routes.of(`${url}x`));
});
