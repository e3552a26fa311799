/** Chinese texts of parts of the side panels. */

import type { PanelTexts } from "./panels_en";

export const PANELS_ZH: PanelTexts = {
  "memory.open": "内存",
  "memory.peak": "最多 {size}",
  "memory.nodes": "每个节点的内存峰值",
  "memory.none": "没有节点占用很多内存。",
  "memory.device": "{device}：任务之后占用 {used}，共 {total}",
  "memory.network": "保留 {size}，每次移动 {moved}",
  "memory.more": "另有 {count} 个节点",
  "template.missing": "缺少 {count} 个文件",
  "template.lacks": "服务器上没有的文件：{names}",
};
