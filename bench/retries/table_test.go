package retries

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write the tables into ../../docs/retries.md, from runs of full size")

const (
	document = "../../docs/retries.md"
	begin    = "<!-- retries tables: go test . -run Table -update, in bench/retries -->\n"
	end      = "<!-- end of the retries tables -->\n"
)

// The sizes of the promises, and those of an everyday run of the peers.
const (
	allClients, someClients = 1000, 50
	allOrders, someOrders   = 10_000, 300
)

const longestBackoff = 8 * time.Second // retry's default

var theAxle = peers[1]

// outages has the runs of axle, since two tests look at each.
var outages = map[failing]outageResult{}

func outageOf(t *testing.T, fails failing) outageResult {
	if _, done := outages[fails]; !done {
		outages[fails] = runOutage(t, theAxle, fails, allClients/scale)
	}
	return outages[fails]
}

func TestOutage_AThousandClientsOfferAtMostATenthMoreLoadThanWithoutRetries(t *testing.T) {
	for _, fails := range []failing{byReset, by503} {
		t.Run(string(fails), func(t *testing.T) {
			result := outageOf(t, fails)
			assert.Equal(t, allClients/scale*int(outage/period), result.calls)
			assert.LessOrEqual(t, result.load(), 1.1)
			assert.Greater(t, result.load(), 1.0, "there are retries at first")
		})
	}
}

func TestOutage_TheClientsRecoverWithinOneBackoffOfTheServersReturn(t *testing.T) {
	for _, fails := range []failing{byReset, by503} {
		t.Run(string(fails), func(t *testing.T) {
			result := outageOf(t, fails)
			assert.LessOrEqual(t, result.lastEnd, longestBackoff)
			assert.Zero(t, result.failedAfter)
			assert.LessOrEqual(t, result.peak, 1.1, "and no crowd meets the server")
		})
	}
}

func TestResets_NoPostWithoutAKeyTakesEffectTwice(t *testing.T) {
	result := runResets(t, theAxle, allOrders/scale)
	assert.Equal(t, allOrders/scale, result.orders)
	assert.Zero(t, result.duplicates)
	assert.Positive(t, result.lost, "some orders took effect, and their answer was cut")
}

func TestResets_APostWithAKeyTakesEffectOnceAndSucceeds(t *testing.T) {
	result := runResets(t, keyed, allOrders/scale)
	assert.Zero(t, result.duplicates)
	assert.Equal(t, allOrders/scale, result.succeeded)
}

// TestTable runs all peers. With -update it writes the tables into the document. Without, the runs
// are small, and -v shows the tables.
func TestTable(t *testing.T) {
	clients, orders := someClients, someOrders
	if *update {
		clients, orders = allClients, allOrders
	}

	var load, posts strings.Builder
	load.WriteString("| | load, connections reset | load, 503s | calls waiting at the return | the last of them ended after | peak after the return |\n")
	load.WriteString("|---|---:|---:|---:|---:|---:|\n")
	posts.WriteString("| | POSTs that took effect twice | calls that succeeded |\n|---|---:|---:|\n")
	for _, p := range peers {
		byResets, by503s := runOutage(t, p, byReset, clients), runOutage(t, p, by503, clients)
		require.Zero(t, byResets.failedAfter+by503s.failedAfter)
		fmt.Fprintf(&load, "| %s | %.2f | %.2f | %d | %.1f s | %.1f |\n", p.name, byResets.load(), by503s.load(),
			byResets.waiting, byResets.lastEnd.Seconds(), byResets.peak)
	}
	for _, p := range append(peers, keyed) {
		r := runResets(t, p, orders)
		fmt.Fprintf(&posts, "| %s | %d | %.0f %% |\n", p.name, r.duplicates, 100*float64(r.succeeded)/float64(r.orders))
	}
	table := load.String() + "\n" + posts.String()
	t.Log("\n" + table)
	if !*update {
		return
	}

	text, err := os.ReadFile(document)
	require.NoError(t, err)
	before, rest, found := strings.Cut(string(text), begin)
	require.True(t, found, "the document has no place for the table")
	_, behind, found := strings.Cut(rest, end)
	require.True(t, found)
	require.NoError(t, os.WriteFile(document, []byte(before+begin+"\n"+table+"\n"+end+behind), 0o644))
}
