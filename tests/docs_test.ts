/**
 * Tests of the documentation as a whole. Tests of a module hold the page about it to the code.
 *
 * @module
 */

import { assert, assertEquals } from "./support/assert.ts";

const PROJECT = new URL("../", import.meta.url);

/** The pages for readers, as paths in the project. */
const PAGES = [".", "docs"].flatMap((folder) =>
  [...Deno.readDirSync(new URL(`${folder}/`, PROJECT))].map(({ name }) => `${folder}/${name}`)
).filter((path) => path.endsWith(".md")).map((path) => path.replace("./", ""));

function read(path: string): string {
  return Deno.readTextFileSync(new URL(path, PROJECT));
}

/** Makes the anchors of the headings of a page, as GitHub does. */
function anchors(path: string): string[] {
  return [...read(path).matchAll(/^#+ (.*)$/gm)].map(([, heading]) =>
    heading!.toLowerCase().replaceAll(/[^\p{L}\p{N} _-]/gu, "").replaceAll(" ", "-")
  );
}

Deno.test("links in the documentation lead to files and headings that exist", () => {
  for (const page of PAGES) {
    for (const [, link] of read(page).matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^https?:/.test(link!)) continue;
      const url = new URL(link!, new URL(page, PROJECT));
      const target = url.pathname.slice(PROJECT.pathname.length);
      try {
        Deno.statSync(new URL(target, PROJECT));
      } catch {
        throw new Error(`${page}: ${link} leads nowhere`);
      }
      if (url.hash === "") continue;
      assert(anchors(target).includes(decodeURIComponent(url.hash.slice(1))), `${page}: ${link}`);
    }
  }
});

Deno.test("tables and code in the documentation fit into 120 columns", () => {
  for (const page of PAGES) {
    for (const line of read(page).split("\n")) {
      assert(line.length <= 120, `${page}: ${line.length} columns: ${line}`);
    }
  }
});

Deno.test("README.md has at most 200 lines, and links to each other page", () => {
  const readme = read("README.md");
  assert(readme.split("\n").length <= 200);
  for (const page of PAGES.filter((page) => page !== "README.md")) {
    assert(readme.includes(`](${page})`), page);
  }
});

Deno.test("docs/deno.md has symptom, versions, workaround and end of each workaround", () => {
  const [, ...sections] = read("docs/deno.md").split(/^### /m);
  for (const section of sections) {
    const items = [...section.matchAll(/^- ([\w ]+):/gm)].map(([, item]) => item);
    assertEquals(items, ["Symptom", "Versions", "Workaround", "Can go"], section);
  }
});
