/** How long tests wait for what a page will show: as long as a busy machine needs. */

import { configure } from "@testing-library/dom";

configure({ asyncUtilTimeout: 30_000 });
