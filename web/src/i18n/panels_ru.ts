/** Russian texts of parts of the side panels. */

import type { PanelTexts } from "./panels_en";

export const PANELS_RU: PanelTexts = {
  "gallery.beside": "Рядом",
  "queue.earlier": "На одно место раньше",
  "queue.later": "На одно место позже",
  "run.small": "Меньше",
  "run.large": "Крупнее",
  "memory.open": "Память",
  "memory.peak": "Не больше {size}",
  "memory.nodes": "Сколько каждый узел занимал на пике",
  "memory.none": "Ни один узел не занял много памяти.",
  "memory.device": "{device}: после задания занято {used} из {total}",
  "memory.network": "{size} остаётся, {moved} переносится каждый раз",
  "memory.more": "Ещё узлов: {count}",
  "template.missing": "Не хватает: {count}",
  "template.lacks": "Файлы, которых нет на сервере: {names}",
  "values.find": "Найти значение",
  "values.onlyChanged": "Только изменённые значения",
  "values.none": "Ничего не подходит.",
  "values.noneChanged": "Ничего не изменено: все значения как у нового узла.",
  "values.star": "Звезда для {name}",
  "values.starHint": "Значения со звездой идут первыми",
  "values.reset": "Вернуть {name}",
  "values.resetTo": "Вернуть {value}",
  "empty.title": "Здесь пока пусто",
  "empty.template": "Начать с шаблона",
  "empty.hint": "Или щёлкните по холсту дважды, чтобы добавить узел, или перетащите сюда файл либо картинку.",
};
