/**
 * Loads what hactl does for people and for many daemons.
 *
 * What scripts ask all day is loaded at once, and all else in one piece when it is first used: a program
 * starts the later the more files it is in, and the more there is to read.
 */
export function more(): Promise<typeof import("./_more.ts")> {
  return import("./_more.ts");
}
