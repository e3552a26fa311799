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
  "crop.title": "Обрезать картинку",
  "crop.shape": "Пропорции",
  "crop.free": "Любые",
  "crop.own": "Как у картинки",
  "crop.turn": "Повернуть рамку",
  "crop.x": "Слева",
  "crop.y": "Сверху",
  "crop.width": "Ширина",
  "crop.height": "Высота",
  "crop.all": "Вся картинка",
  "crop.use": "Взять эту часть",
  "crop.about": "Часть от {x}, {y}, {width} на {height} пикселей: стрелки двигают её, с Alt меняют размер, Shift — крупнее шаг",
  "mask.unsaved": "Нарисованная маска ещё не использована.",
  "mask.keep": "Рисовать дальше",
  "mask.discard": "Выбросить",
  "command.map": "Показать или скрыть карту",
};
