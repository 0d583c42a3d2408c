import { assert, assertEquals, assertMatch, assertStringIncludes } from "../support/assert.ts";
import { BUILD_PROGRAMS } from "../support/installed_package.ts";
import { type Result, run, TempFolder } from "../support/programs.ts";
import { serverTest } from "../servers/mod.ts";

const PROJECT = new URL("../../", import.meta.url).pathname;

/** What a clone of the project does not have. */
const NOT_SOURCES = [".git", ".spool", "dist", "node_modules"];

const CHANGELOG = `# Changelog

## [Unreleased]

### Added

- A feature.

## [1.2.3] - 2026-01-01

- An older feature.
`;

/** A repository with the sources of the project at version 1.2.3. */
class Repository implements Disposable {
  readonly #folder = new TempFolder();

  private constructor() {}

  static async create(): Promise<Repository> {
    const repository = new Repository();
    const names = [...Deno.readDirSync(PROJECT)].map(({ name }) => PROJECT + name)
      .filter((path) => !NOT_SOURCES.some((name) => path === PROJECT + name));
    await run("cp", ["-R", ...names, repository.#folder.path]);
    const config = repository.read("deno.json").replace(/"version": ".*"/, '"version": "1.2.3"');
    repository.write("deno.json", config);
    repository.write("CHANGELOG.md", CHANGELOG);
    await repository.git("init", "--quiet");
    await repository.git("config", "user.name", "Tester");
    await repository.git("config", "user.email", "tester@example.org");
    await repository.commit();
    return repository;
  }

  path(name: string): string {
    return this.#folder.file(name);
  }

  read(name: string): string {
    return Deno.readTextFileSync(this.path(name));
  }

  write(name: string, text: string): void {
    this.#folder.write(name, text);
  }

  async git(...args: string[]): Promise<string> {
    const { code, stdout, stderr } = await run("git", ["-C", this.#folder.path, ...args]);
    assertEquals(code, 0, stderr);
    return stdout;
  }

  async commit(): Promise<void> {
    await this.git("add", "--all");
    await this.git("commit", "--quiet", "--message", "sources");
  }

  /** Runs `deno task release` with its permissions. */
  async release(...args: string[]): Promise<Result> {
    const config = ["--config", this.path("deno.json")];
    const task = ["task", "--quiet", ...config, "release", ...args];
    return await run(Deno.execPath(), task, { NO_COLOR: "1" });
  }

  /** The commit, the tags and the uncommitted changes. */
  async state(): Promise<string[]> {
    return [
      await this.git("rev-parse", "HEAD"),
      await this.git("tag"),
      await this.git("status", "--porcelain"),
    ];
  }

  [Symbol.dispose](): void {
    this.#folder[Symbol.dispose]();
  }
}

serverTest("release.ts rejects what it cannot release, and changes nothing", ["git"], async () => {
  using repository = await Repository.create();
  const rejects = async (version: string, reason: string) => {
    const state = await repository.state();
    for (const options of [[], ["--dry-run"]]) {
      const { code, stdout, stderr } = await repository.release(...options, version);
      assertEquals({ code, stdout }, { code: 1, stdout: "" }, stderr);
      assertStringIncludes(stderr, `Cannot release ${version}: ${reason}`);
    }
    assertEquals(await repository.state(), state);
  };
  for (const version of ["1.3", "v1.3.0", "1.3.0.0", "01.3.0", "1.3.0-rc.1", "next"]) {
    await rejects(version, "bad version: expected MAJOR.MINOR.PATCH");
  }
  for (const version of ["1.2.3", "1.2.2", "1.1.9", "0.9.9"]) {
    await rejects(version, "bad version: expected one above 1.2.3");
  }
  await repository.git("tag", "v1.3.0");
  await rejects("1.3.0", "expected no tag v1.3.0");
  repository.write("new.txt", "not committed\n");
  await rejects("1.2.10", "expected no uncommitted changes");
  Deno.removeSync(repository.path("new.txt"));
  repository.write("CHANGELOG.md", CHANGELOG.replace("### Added\n\n- A feature.\n", "### Added\n"));
  await repository.commit();
  await rejects("1.2.10", "CHANGELOG.md: expected changes below ## [Unreleased]");
  assertEquals((await repository.release()).code, 2);
});

serverTest("release.ts restores the sources if the build fails", ["git"], async () => {
  using repository = await Repository.create();
  repository.write("deploy/deb.ts", "Deno.exit(1);\n");
  await repository.commit();
  const state = await repository.state();
  const { code, stderr } = await repository.release("1.3.0");
  assertEquals(code, 1);
  assertMatch(stderr, /Cannot release 1\.3\.0: .* deb --scripts .* failed/);
  assertEquals(await repository.state(), state);
});

serverTest(
  "release.ts --dry-run prints what it would do, and changes nothing",
  ["git"],
  async () => {
    using repository = await Repository.create();
    const state = await repository.state();
    assertEquals(await repository.release("--dry-run", "1.3.0"), {
      code: 0,
      stdout: `Would set the version in CHANGELOG.md, deploy/debian/changelog, deno.json
Would build the package, the archive, the SBOM and SHA256SUMS in dist/release-1.3.0
Would commit "release: 1.3.0", and tag v1.3.0
`,
      stderr: "",
    });
    assertEquals(await repository.state(), state);
  },
);

interface Component {
  readonly name: string;
  readonly version: string;
  readonly purl: string;
  readonly scope: string;
  readonly hashes: readonly { readonly alg: string; readonly content: string }[];
  readonly licenses: readonly { readonly expression: string }[];
}

/** Compares an SBOM with the lock file. */
function assertCoversLock(sbom: string, lock: string): void {
  const { metadata, components, dependencies } = JSON.parse(sbom) as {
    readonly metadata: { readonly component: Pick<Component, "name" | "version" | "licenses"> };
    readonly components: readonly Component[];
    readonly dependencies: readonly { readonly ref: string; readonly dependsOn: string[] }[];
  };
  const { name, version, licenses } = metadata.component;
  assertEquals({ name, version, licenses }, {
    name: "hacheck",
    version: "1.3.0",
    licenses: [{ expression: "MIT" }],
  });
  const { npm, workspace } = JSON.parse(lock);
  const locked = Object.entries(npm as Record<string, { readonly integrity: string }>);
  assertEquals(
    components.map(({ name, version, hashes }) => {
      const [{ alg, content }] = hashes as [Component["hashes"][0]];
      const integrity = Uint8Array.fromHex(content).toBase64();
      return [`${name}@${version}`, `${alg.replace("SHA-", "sha")}-${integrity}`];
    }),
    // An id may have a suffix of peer dependencies.
    locked.map(([id, { integrity }]) => [/^@?[^@]+@[^_]+/.exec(id)![0], integrity]),
  );
  for (const { licenses, name } of components) {
    assertMatch(licenses[0]!.expression, /^[\w.()+ -]+$/, name);
  }
  const scopes = new Map(components.map(({ name, scope }) => [name, scope]));
  for (const name of ["mysql2", "split2"]) assertEquals(scopes.get(name), "required", name);
  for (const name of ["fast-check", "pure-rand"]) assertEquals(scopes.get(name), "excluded", name);
  const refs = new Set(components.map(({ purl }) => purl));
  for (const { dependsOn } of dependencies) {
    for (const ref of dependsOn) assert(refs.has(ref), ref);
  }
  assertEquals(
    dependencies[0]!.dependsOn.map((ref) => decodeURIComponent(ref.replace("pkg:npm/", ""))),
    workspace.dependencies.map((id: string) => id.replace("npm:", "")).sort(),
  );
}

serverTest(
  "release.ts sets the version, builds the files to publish, commits and tags",
  [...BUILD_PROGRAMS, "git", "tar", "sha256sum"],
  async () => {
    using repository = await Repository.create();
    const { code, stderr } = await repository.release("1.3.0");
    assertEquals(code, 0, stderr);
    assertEquals(await repository.git("status", "--porcelain"), "");
    assertEquals(
      await repository.git("show", "--no-patch", "--format=%s%n%an", "v1.3.0^{commit}"),
      "release: 1.3.0\nTester\n",
    );
    assertEquals(
      await repository.git("rev-parse", "v1.3.0^{commit}"),
      await repository.git("rev-parse", "HEAD"),
    );
    assertMatch(repository.read("deno.json"), /"version": "1\.3\.0"/);
    assertMatch(repository.read("deploy/debian/changelog"), /^hacheck \(1\.3\.0-1\) unstable;/);
    assertMatch(
      repository.read("CHANGELOG.md"),
      /\n## \[Unreleased\]\n\n## \[1\.3\.0\] - \d{4}-\d\d-\d\d\n\n### Added\n\n- A feature\.\n\n## \[1\.2\.3\]/,
    );

    const folder = repository.path("dist/release-1.3.0");
    const files = [...Deno.readDirSync(folder)].map(({ name }) => name).sort();
    const published = ["hacheck-1.3.0.cdx.json", "hacheck-1.3.0.tar.gz", "hacheck_1.3.0-1_all.deb"];
    assertEquals(files, ["SHA256SUMS", ...published]);
    const checked = await run("sh", [
      "-c",
      'cd "$1" && sha256sum --check SHA256SUMS',
      "sh",
      folder,
    ]);
    assertEquals(checked.stdout, published.map((name) => `${name}: OK\n`).join(""));

    assertCoversLock(
      Deno.readTextFileSync(`${folder}/hacheck-1.3.0.cdx.json`),
      repository.read("deno.lock"),
    );
    const field = await run("dpkg-deb", [
      "--field",
      `${folder}/hacheck_1.3.0-1_all.deb`,
      "Version",
    ]);
    assertEquals(field.stdout, "1.3.0-1\n");

    // The scripts of the archive name /usr/local. Here the archive is unpacked elsewhere.
    const prefix = repository.path("dist/prefix");
    Deno.mkdirSync(prefix);
    const archive = `${folder}/hacheck-1.3.0.tar.gz`;
    assertEquals((await run("tar", ["-xzf", archive, "-C", prefix])).code, 0);
    const script = Deno.readTextFileSync(`${prefix}/bin/hastatus`);
    assertStringIncludes(script, " /usr/local/lib/hacheck/src/start_hactl.js ");
    Deno.writeTextFileSync(`${prefix}/hactl`, script.replaceAll("/usr/local/lib", `${prefix}/lib`));
    assertEquals(await run("sh", [`${prefix}/hactl`, "--version"]), {
      code: 0,
      stdout: "hactl 1.3.0\n",
      stderr: "",
    });
    assertStringIncludes(Deno.readTextFileSync(`${prefix}/share/doc/hacheck/copyright`), "mysql2 ");
  },
);
