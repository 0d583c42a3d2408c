import * as colors from "@std/fmt/colors";

/** Wraps a text in the escape sequences of a color, unless `NO_COLOR` is set. */
type Paint = (text: string) => string;

/** Makes a text bold. */
export const bold: Paint = colors.bold;
/** Makes a text dim. */
export const dim: Paint = colors.dim;
/** Makes a text green. */
export const green: Paint = colors.green;
/** Makes a text red. */
export const red: Paint = colors.red;
/** Makes a text yellow. */
export const yellow: Paint = colors.yellow;
