/** Chinese texts of parts of the side panels. */

import type { PanelTexts } from "./panels_en";

export const PANELS_ZH: PanelTexts = {
  "gallery.beside": "并排",
  "queue.earlier": "提前一位",
  "queue.later": "推后一位",
  "run.small": "缩小",
  "run.large": "放大",
  "memory.open": "内存",
  "memory.peak": "最多 {size}",
  "memory.nodes": "每个节点的内存峰值",
  "memory.none": "没有节点占用很多内存。",
  "memory.device": "{device}：任务之后占用 {used}，共 {total}",
  "memory.network": "保留 {size}，每次移动 {moved}",
  "memory.more": "另有 {count} 个节点",
  "template.missing": "缺少：{count}",
  "template.lacks": "服务器上没有的文件：{names}",
  "values.find": "查找值",
  "values.onlyChanged": "只显示改过的值",
  "values.none": "没有符合的值。",
  "values.noneChanged": "没有改动：所有值都与新节点相同。",
  "values.star": "为 {name} 加星",
  "values.starHint": "加星的值排在最前",
  "values.reset": "还原 {name}",
  "values.resetTo": "还原为 {value}",
  "empty.title": "这个工作流是空的",
  "empty.template": "从模板开始",
  "empty.hint": "也可以双击画布添加节点，或把工作流、图片拖到这里。",
};
