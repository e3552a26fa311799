/** Chinese texts (simplified) of the tools on the canvas and of the widgets. */

import type { CanvasTexts } from "./canvas_en";

export const CANVAS_ZH: CanvasTexts = {
  "map.label": "小地图",
  "map.about": "图的小地图：方向键移动画面，加号和减号缩放，Home 显示全部",
  "map.show": "显示小地图",
  "map.hide": "隐藏小地图",
  "choice.star": "加星标",
  "choice.unstar": "去掉星标",
  "choice.isStarred": "已收藏",
  "choice.starKeys": "Alt+Enter：加星标",
  "command.map": "显示或隐藏小地图",
};
