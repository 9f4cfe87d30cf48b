import { openRestCatalog } from "../../../lib/iceberg/catalog/rest/open";
import type { RestCatalog } from "../../../lib/iceberg/catalog/rest/rest-catalog";
import type { Catalog } from "../../../lib/iceberg/catalog/types";
import { catalogConformance } from "../../support/catalog-conformance";
import { emptyCatalog, sharedRest } from "../../support/rest";

const open = async (): Promise<RestCatalog> => openRestCatalog({ uri: (await sharedRest()).uri });

catalogConformance("a REST catalog", {
  open: async (same?: Catalog) => {
    const catalog = await open();
    if (!same) await emptyCatalog(catalog);
    return catalog;
  },
  drop: (catalog) => catalog.dropTable({ namespace: ["db"], name: "trades" }),
});
