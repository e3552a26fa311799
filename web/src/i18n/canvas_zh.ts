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
  "crop.title": "裁剪图片",
  "crop.shape": "比例",
  "crop.free": "自由",
  "crop.own": "与原图相同",
  "crop.turn": "横竖互换",
  "crop.x": "左",
  "crop.y": "上",
  "crop.width": "宽",
  "crop.height": "高",
  "crop.all": "整张图片",
  "crop.use": "使用这一部分",
  "crop.about": "从 {x}, {y} 开始的部分，{width} × {height} 像素：方向键移动，按住 Alt 调整大小，按住 Shift 步长更大",
  "mask.unsaved": "画好的蒙版还没有使用。",
  "mask.keep": "继续绘制",
  "mask.discard": "放弃",
  "command.map": "显示或隐藏小地图",
};
