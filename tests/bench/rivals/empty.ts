// What it costs to start a program that does nothing.
export {};
