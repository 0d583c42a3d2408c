import { PROGRAMS } from "../../deploy/_programs.ts";
import { assert, assertEquals } from "../support/assert.ts";

const PROJECT = new URL("../../", import.meta.url).pathname;
const CONTAINERFILE = Deno.readTextFileSync(`${PROJECT}deploy/Containerfile`);

/** What follows an instruction, wherever it stands. */
function given(instruction: string): string[] {
  return [...CONTAINERFILE.matchAll(new RegExp(`^${instruction} (.*)$`, "gm"))].map(([, it]) =>
    it!
  );
}

Deno.test("the container is built from what is there, by the release of Deno that hacheck needs", () => {
  const copied = given("COPY").filter((it) => !it.startsWith("--")).flatMap((it) =>
    it.split(" ").slice(0, -1)
  );
  for (const path of copied) Deno.statSync(`${PROJECT}${path}`);
  for (const image of given("FROM")) {
    assertEquals(image.split(" ")[0], "docker.io/denoland/deno:${DENO_VERSION}");
  }
  const build = 'podman build --tag hacheck --build-arg DENO_VERSION="$(cat .deno-version)"';
  assert(CONTAINERFILE.includes(build));
  assert(Deno.readTextFileSync(`${PROJECT}docs/install.md`).includes(build));
});

Deno.test("the container holds each program, and runs hacheck as a user without any right", () => {
  const programs = PROGRAMS.map(({ name }) => `/usr/local/bin/${name}`).join(" ");
  assert(given("COPY").includes(`--from=build ${programs} /usr/local/bin/`));
  assert(given("COPY").includes("--from=build /usr/local/lib/hacheck /usr/local/lib/hacheck"));
  // By its number: who starts a container can tell by it that this is not root.
  const [user, ...others] = given("USER");
  assert(/^[1-9]\d{3,}:[1-9]\d{3,}$/.test(user!), user);
  assertEquals(others, []);
  assertEquals(given("ENTRYPOINT"), ['["/usr/local/bin/hacheck"]']);
  assertEquals(given("CMD"), ['["-c", "/etc/hacheck/hacheck.yaml"]']);
});
