import assert from "node:assert/strict";
import { earlyCloses, holidays, MarketClock, tradingDay } from "../../../lib/alpaca/calendar";

/** As the exchange published them: holidays, early closes. */
const PUBLISHED: Record<number, [string, string]> = {
  2013: ["01-01 01-21 02-18 03-29 05-27 07-04 09-02 11-28 12-25", "07-03 11-29 12-24"],
  2014: ["01-01 01-20 02-17 04-18 05-26 07-04 09-01 11-27 12-25", "07-03 11-28 12-24"],
  2015: ["01-01 01-19 02-16 04-03 05-25 07-03 09-07 11-26 12-25", "11-27 12-24"],
  2016: ["01-01 01-18 02-15 03-25 05-30 07-04 09-05 11-24 12-26", "11-25"],
  2017: ["01-02 01-16 02-20 04-14 05-29 07-04 09-04 11-23 12-25", "07-03 11-24"],
  2018: ["01-01 01-15 02-19 03-30 05-28 07-04 09-03 11-22 12-25", "07-03 11-23 12-24"],
  2019: ["01-01 01-21 02-18 04-19 05-27 07-04 09-02 11-28 12-25", "07-03 11-29 12-24"],
  2020: ["01-01 01-20 02-17 04-10 05-25 07-03 09-07 11-26 12-25", "11-27 12-24"],
  2021: ["01-01 01-18 02-15 04-02 05-31 07-05 09-06 11-25 12-24", "11-26"],
  2022: ["01-17 02-21 04-15 05-30 06-20 07-04 09-05 11-24 12-26", "11-25"],
  2023: ["01-02 01-16 02-20 04-07 05-29 06-19 07-04 09-04 11-23 12-25", "07-03 11-24"],
  2024: ["01-01 01-15 02-19 03-29 05-27 06-19 07-04 09-02 11-28 12-25", "07-03 11-29 12-24"],
  2025: ["01-01 01-20 02-17 04-18 05-26 06-19 07-04 09-01 11-27 12-25", "07-03 11-28 12-24"],
  2026: ["01-01 01-19 02-16 04-03 05-25 06-19 07-03 09-07 11-26 12-25", "11-27 12-24"],
  2027: ["01-01 01-18 02-15 03-26 05-31 06-18 07-05 09-06 11-25 12-24", "11-26"],
  2028: ["01-17 02-21 04-14 05-29 06-19 07-04 09-04 11-23 12-25", "07-03 11-24"],
};
const days = (list: number[]): string => list.map((day) => new Date(day).toISOString().slice(5, 10)).join(" ");

describe("NYSE calendar", () => {
  for (const [year, [closed, early]] of Object.entries(PUBLISHED)) {
    it(`${year}: holidays and early closes as published`, () => {
      assert.equal(days(holidays(Number(year))), closed);
      assert.equal(days(earlyCloses(Number(year))), early);
    });
  }

  it("knows days of mourning and storms, weekends, and that summer time moves the hours in UTC", () => {
    for (const day of ["2012-10-29", "2018-12-05", "2025-01-09", "2024-11-02", "2024-11-03"]) assert.equal(tradingDay(Date.parse(day)), undefined, day);
    const hours = (day: string) => { const { open, close, early } = tradingDay(Date.parse(day))!; return [new Date(open).toISOString().slice(11, 16), new Date(close).toISOString().slice(11, 16), early]; };
    assert.deepEqual(hours("2024-07-02"), ["13:30", "20:00", false]);
    assert.deepEqual(hours("2024-12-02"), ["14:30", "21:00", false]);
    assert.deepEqual(hours("2024-12-24"), ["14:30", "18:00", true]);
    assert.deepEqual(hours("2024-11-04"), ["14:30", "21:00", false], "the first Monday of winter time");
  });

  it("opens and closes to the second, later for a feed that is late, and never for one that does not rest", () => {
    const clock = new MarketClock("exchange"), late = new MarketClock("exchange", 900_000);
    const at = (time: string): [boolean, boolean] => [clock.isOpen(Date.parse(`2024-11-29T${time}Z`)), late.isOpen(Date.parse(`2024-11-29T${time}Z`))];
    assert.deepEqual([at("14:29:59"), at("14:30:00"), at("14:45:00"), at("17:59:59"), at("18:00:00"), at("18:15:00")], [[false, false], [true, false], [true, true], [true, true], [false, true], [false, false]]);
    assert.equal(new MarketClock("always").isOpen(Date.parse("2024-12-25T03:00:00Z")), true);
  });
});
