import { PROGRAMS } from "../../deploy/_programs.ts";
import { assert, assertEquals } from "../support/assert.ts";

const PROJECT = new URL("../../", import.meta.url).pathname;
const CONTAINERFILE = Deno.readTextFileSync(`${PROJECT}deploy/Containerfile`);

/** Lists the arguments of an instruction. */
function argumentsOf(instruction: string): string[] {
  return [...CONTAINERFILE.matchAll(new RegExp(`^${instruction} (.*)$`, "gm"))].map(([, it]) =>
    it!
  );
}

Deno.test("the Containerfile copies existing files, and uses the tested release of Deno", () => {
  const copied = argumentsOf("COPY").filter((it) => !it.startsWith("--")).flatMap((it) =>
    it.split(" ").slice(0, -1)
  );
  for (const path of copied) Deno.statSync(`${PROJECT}${path}`);
  for (const image of argumentsOf("FROM")) {
    assertEquals(image.split(" ")[0], "docker.io/denoland/deno:${DENO_VERSION}");
  }
  const build = 'podman build --tag hacheck --build-arg DENO_VERSION="$(cat .deno-version)"';
  assert(CONTAINERFILE.includes(build));
  assert(Deno.readTextFileSync(`${PROJECT}docs/install.md`).includes(build));
});

Deno.test("the container has each program, and runs hacheck as an unprivileged user", () => {
  const programs = PROGRAMS.map(({ name }) => `/usr/local/bin/${name}`).join(" ");
  assert(argumentsOf("COPY").includes(`--from=build ${programs} /usr/local/bin/`));
  assert(
    argumentsOf("COPY").includes("--from=build /usr/local/lib/hacheck /usr/local/lib/hacheck"),
  );
  // A number, by which a container runtime can check that the user is not root.
  const [user, ...others] = argumentsOf("USER");
  assert(/^[1-9]\d{3,}:[1-9]\d{3,}$/.test(user!), user);
  assertEquals(others, []);
  assertEquals(argumentsOf("ENTRYPOINT"), ['["/usr/local/bin/hacheck"]']);
  assertEquals(argumentsOf("CMD"), ['["-c", "/etc/hacheck/hacheck.yaml"]']);
});
