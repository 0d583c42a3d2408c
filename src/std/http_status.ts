import { STATUS_TEXT as texts } from "@std/http/status";

/** The reason phrases of the registered HTTP statuses, by their codes. */
export const STATUS_TEXT: Readonly<Record<number, string>> = texts;
