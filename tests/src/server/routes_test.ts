import type { CheckRequest } from "../../../src/checks/check.ts";
import type { Header } from "../../../src/net/http_client.ts";
import { MAX_ROUTE_LENGTH, MAX_ROUTES, type Route, Routes } from "../../../src/server/routes.ts";
import { assert, assertEquals } from "../../support/assert.ts";

const HOST = "http://10.0.0.1:3333";

const CHECK: CheckRequest = {
  ...{ protocol: "tcp", service: "web", host: "127.0.0.1", port: 8080, path: "/", headers: [] },
};

/** Requests a check of a port at a time. */
function request(route: Route, port: number, now: number, headers: readonly Header[] = []) {
  const isSame = (request: CheckRequest) => request.port === port;
  return route.request(isSame, () => ({ ...CHECK, port, headers }), now);
}

Deno.test("Routes.of() returns the same route for the same URL of a check", () => {
  const routes = new Routes();
  const route = routes.of(`${HOST}/tcp/web/8080`);
  assertEquals([route.path, route.check], [
    "/tcp/web/8080",
    { protocol: "tcp", service: "web", port: 8080, path: "/" },
  ]);
  assert(routes.of(`${HOST}/tcp/web/8080`) === route);
  assert(routes.of(`${HOST}/tcp/web/8081`) !== route);
  assert(routes.of("http://10.0.0.2:3333/tcp/web/8080") !== route);
});

Deno.test("Routes.of() does not keep other URLs", () => {
  const routes = new Routes();
  const route = routes.of(`${HOST}/status?x`);
  assertEquals([route.path, route.check], ["/status?x", undefined]);
  assert(routes.of(`${HOST}/status?x`) !== route);
});

Deno.test("Route.request() returns the same object for the same check, and keeps eight of them", () => {
  const route = new Routes().of(`${HOST}/tcp/web/0`);
  const ports = [1, 2, 3, 4, 5, 6, 7, 8];
  const first = ports.map((port) => request(route, port, port));
  assertEquals(
    ports.map((port) => request(route, port, port) === first[port - 1]),
    ports.map(() => true),
  );
  request(route, 9, 9);
  assert(request(route, 2, 10) === first[1]);
  assert(request(route, 1, 10) !== first[0]);
});

Deno.test("Route.request() keeps one check with long headers", () => {
  const route = new Routes().of(`${HOST}/tcp/web/0`);
  const long: Header[] = [["x-long", "x".repeat(MAX_ROUTE_LENGTH + 1)]];
  const first = request(route, 1, 1, long);
  assert(request(route, 1, 2, long) === first);
  request(route, 2, 3, long);
  assert(request(route, 1, 4, long) !== first);
});

Deno.test("Route.request() notes when a check was asked for last", () => {
  const route = new Routes().of(`${HOST}/tcp/web/0`);
  const check = request(route, 1, 10);
  assertEquals(check.askedAt, 10);
  request(route, 1, 20);
  request(route, 2, 30);
  assertEquals(check.askedAt, 20);
  request(route, 1, 40);
  assertEquals(check.askedAt, 40);
});

Deno.test("Routes.of() keeps MAX_ROUTES routes, and drops the least recently used one", () => {
  const routes = new Routes();
  const routeOf = (port: number) => routes.of(`${HOST}/tcp/web/${port}`);
  const first = [routeOf(1), routeOf(2)];
  for (let port = 3; port <= MAX_ROUTES; port++) routeOf(port);
  assert(routeOf(1) === first[0]);
  routeOf(MAX_ROUTES + 1);
  assertEquals([routeOf(1) === first[0], routeOf(2) === first[1]], [true, false]);
});

Deno.test("Routes.of() keeps no URL longer than MAX_ROUTE_LENGTH", () => {
  const routes = new Routes();
  const url = `${HOST}/http/web/80/`.padEnd(MAX_ROUTE_LENGTH, "x");
  assert(routes.of(url) === routes.of(url));
  assert(routes.of(`${url}x`) !== routes.of(`${url}x`));
});
