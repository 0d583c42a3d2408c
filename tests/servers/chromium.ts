import type { Browser } from "playwright-core";

const PROGRAM = "/usr/bin/chromium";

/** What has to be installed for it. */
export const CHROMIUM_PROGRAMS: readonly string[] = [PROGRAM];

/** Starts a real browser. Whoever starts it closes it. */
export async function startChromium(): Promise<Browser> {
  // To find out whether this is Windows, a part of playwright asks for a file when it is loaded that Deno lets
  // only those ask for who may do everything. It does not where it believes that it is tested itself.
  Deno.env.set("__IS_WSL_TEST__", "1");
  const { chromium } = await import("playwright-core");
  // Nobody but root is there in a container, for whom Chromium has no sandbox.
  return await chromium.launch({ executablePath: PROGRAM, args: ["--no-sandbox"] });
}
