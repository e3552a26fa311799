/** Russian texts of the tools on the canvas and of the widgets. */

import type { CanvasTexts } from "./canvas_en";

export const CANVAS_RU: CanvasTexts = {
  "map.label": "Карта",
  "map.about": "Карта графа: стрелки двигают вид, плюс и минус меняют масштаб, Home показывает всё",
  "map.show": "Показать карту",
  "map.hide": "Скрыть карту",
  "choice.star": "Отметить звездой",
  "choice.unstar": "Убрать звезду",
  "choice.isStarred": "избранное",
  "choice.starKeys": "Alt+Enter: звезда",
  "command.map": "Показать или скрыть карту",
};
