/** A picture as its colours: red, green, blue and opacity of each pixel, row by row. */

export interface Pixels {
  readonly width: number;
  readonly height: number;
  readonly data: Uint8ClampedArray;
}
