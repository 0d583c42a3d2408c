import type { Browser } from "playwright-core";

const PROGRAM = "/usr/bin/chromium";

/** The program that it needs. */
export const CHROMIUM_PROGRAMS: readonly string[] = [PROGRAM];

/** Starts a browser. The caller must close it. */
export async function startChromium(): Promise<Browser> {
  // When it is loaded, playwright reads a file in /proc, for which Deno requires all permissions. With this
  // variable it does not.
  Deno.env.set("__IS_WSL_TEST__", "1");
  const { chromium } = await import("playwright-core");
  // In a container the user is root, for whom Chromium has no sandbox.
  return await chromium.launch({ executablePath: PROGRAM, args: ["--no-sandbox"] });
}
