// An empty program, to measure the start of Deno.
export {};
