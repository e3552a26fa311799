/** The part of a 2D canvas that graphs are drawn with: what else takes these calls can be drawn on too. */

export type Drawing = Pick<
  CanvasRenderingContext2D,
  | "arc" | "beginPath" | "drawImage" | "fill" | "fillRect" | "fillStyle" | "fillText" | "font" | "globalAlpha" | "lineTo" | "lineWidth"
  | "moveTo" | "restore" | "roundRect" | "save" | "setLineDash" | "setTransform" | "stroke" | "strokeStyle" | "textAlign"
  | "textBaseline" | "translate"
>;

/** A path that many shapes of one colour are put in; made by what it is drawn on. */
export type ShapePath = Pick<Path2D, "bezierCurveTo" | "lineTo" | "moveTo" | "rect">;
