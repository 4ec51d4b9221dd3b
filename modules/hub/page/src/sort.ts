export type Value = string | number | null;
export interface Order {
  column: string;
  descending: boolean;
}

// "file 9" before "file 10".
const words = new Intl.Collator("en", { numeric: true, sensitivity: "base" });

function compare(left: Value, right: Value): number {
  if (typeof left === "number" && typeof right === "number") return left - right;
  return words.compare(String(left), String(right));
}

/** A sorted copy. What has no value comes last either way; equals keep the order of their keys, so that rows stay put. */
export function sorted<Row>(
  rows: readonly Row[],
  value_of: (row: Row) => Value,
  key_of: (row: Row) => string,
  descending: boolean,
): Row[] {
  const sign = descending ? -1 : 1;
  const keyed: { row: Row; value: Value; key?: string }[] = rows.map((row) => ({ row, value: value_of(row) }));
  // Made where two are equal only: thousands of keys cost more than the sorting.
  const key = (of: (typeof keyed)[number]) => (of.key ??= key_of(of.row));
  keyed.sort((left, right) => {
    if (left.value === null || right.value === null) {
      if (left.value !== right.value) return left.value === null ? 1 : -1;
    } else {
      const difference = compare(left.value, right.value);
      if (difference !== 0) return sign * difference;
    }
    return key(left) < key(right) ? -1 : key(left) > key(right) ? 1 : 0;
  });
  return keyed.map((entry) => entry.row);
}
