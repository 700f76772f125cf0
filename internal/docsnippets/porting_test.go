package docsnippets

import (
	"slices"
	"strings"
	"testing"
)

// TestPorting_EachVerdictOnTheBrowserHasItsTest checks the column "in a browser". A row that says
// "same" cites a test that runs over a browser's fetch: CI runs those that OverFetch finds. A row
// that differs cites a test of test/browser.
func TestPorting_EachVerdictOnTheBrowserHasItsTest(t *testing.T) {
	const root = "../.."
	rows, browserRows, err := PortingRows(root)
	if err != nil {
		t.Fatal(err)
	}
	tests, err := Tests(root)
	if err != nil {
		t.Fatal(err)
	}
	if len(rows) < 100 || len(browserRows) < 10 {
		t.Fatalf("found %d rows and %d of the section \"In a browser\"", len(rows), len(browserRows))
	}

	for _, row := range rows {
		if problem := judge(row, tests); problem != "" {
			t.Errorf("%s:%d: %s", portingDocument, row.Line, problem)
		}
	}
	for _, row := range browserRows {
		if !citesBrowserTest(row, tests) {
			t.Errorf("%s:%d: the row cites no test of %s", portingDocument, row.Line, browserPackage)
		}
	}
}

func TestPorting_AVerdictWithoutItsTestIsFound(t *testing.T) {
	tests := map[string][]Test{
		"TestEverywhere": {{Package: ".", IsForJS: true}},
		"TestNotForJS":   {{Package: "."}},
		"TestBrowser":    {{Package: browserPackage, IsForJS: true}},
	}
	for _, x := range []struct {
		row  Row
		says string
	}{
		{Row{Axle: "x", Verdict: Same, Tests: []string{"TestNotForJS", "TestEverywhere"}}, ""},
		{Row{Axle: "x", Verdict: Browsers, Tests: []string{"TestNotForJS", "TestBrowser"}}, ""},
		{Row{Axle: "x", Verdict: Refused, Tests: []string{"TestBrowser"}}, ""},
		{Row{Axle: "none: x", Verdict: None}, ""},
		{Row{Axle: "x", Verdict: Same, Tests: []string{"TestNotForJS", "TestBrowser"}}, "fetch"},
		{Row{Axle: "x", Verdict: Browsers, Tests: []string{"TestEverywhere"}}, browserPackage},
		{Row{Axle: "x", Verdict: Refused}, browserPackage},
		{Row{Axle: "x", Verdict: None}, "none"},
		{Row{Axle: "none", Verdict: Same, Tests: []string{"TestEverywhere"}}, "none"},
		{Row{Axle: "x", Verdict: "it works"}, "verdict"},
	} {
		if got := judge(x.row, tests); (got == "") != (x.says == "") || !strings.Contains(got, x.says) {
			t.Errorf("%+v: got %q", x.row, got)
		}
	}
}

func TestOverFetch_HasTheTestsOfSameRowsOnceByPackage(t *testing.T) {
	tests := map[string][]Test{
		"TestA":       {{Package: ".", IsForJS: true}, {Package: "store", IsForJS: true}},
		"TestB":       {{Package: "store", IsForJS: true}},
		"TestNative":  {{Package: "."}},
		"TestBrowser": {{Package: browserPackage, IsForJS: true}},
	}
	found := OverFetch([]Row{
		{Verdict: Same, Tests: []string{"TestA", "TestBrowser"}},
		{Verdict: Same, Tests: []string{"TestA", "TestNative"}},
		{Verdict: Browsers, Tests: []string{"TestB"}},
	}, tests)
	if len(found) != 2 || !slices.Equal(found["."], []string{"TestA"}) || !slices.Equal(found["store"], []string{"TestA"}) {
		t.Errorf("got %v", found)
	}
}

// judge returns what is wrong with the verdict of a row; "" if nothing is.
func judge(row Row, tests map[string][]Test) string {
	isNone := strings.HasPrefix(row.Axle, "none")
	switch row.Verdict {
	case None, Same, Browsers, Refused:
	default:
		return "the verdict " + row.Verdict + " is not one of: same, the browser's, refused before sending, –"
	}

	switch {
	case isNone != (row.Verdict == None):
		return "– is the verdict of the rows that say none, and of no others"
	case row.Verdict == Same && len(OverFetch([]Row{row}, tests)) == 0:
		return "the row says same and cites no test that runs over a browser's fetch"
	case (row.Verdict == Browsers || row.Verdict == Refused) && !citesBrowserTest(row, tests):
		return "the row says that a browser differs and cites no test of " + browserPackage
	}
	return ""
}

func citesBrowserTest(row Row, tests map[string][]Test) bool {
	return slices.ContainsFunc(row.Tests, func(name string) bool {
		return slices.ContainsFunc(tests[name], func(one Test) bool { return one.Package == browserPackage })
	})
}
