package wire_test

import (
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/axlehttp/axle/internal/wire"
)

func TestExpand_AValueIsEscapedUnlessItIsRaw(t *testing.T) {
	for _, x := range []struct {
		template, value string
		raw             bool
		want            string
	}{
		{"/users/{id}", "7", false, "/users/7"},
		{"/users/{id}", "a/b", false, "/users/a%2Fb"},
		{"/users/{id}", "a/b", true, "/users/a/b"},
		{"/users/{id}", "%2F", false, "/users/%252F"},
		{"/users/{id}", "%2F", true, "/users/%2F"},
		{"/{id}{id}", "ü", false, "/%C3%BC%C3%BC"},
		{"/{{id}}", "x", false, "/{x}"},
		{"/{id", "x", false, "/{id"},
		{"/a} b {not a name}", "x", false, "/a} b {not a name}"},
		{"/../{id}", "x", false, "/../x"}, // these dots are the caller's own
	} {
		got, err := wire.Values{Own: wire.Params{"id": {Text: x.value, Raw: x.raw}}}.ExpandPath(x.template)
		require.NoError(t, err, x.template)
		assert.Equal(t, x.want, got, "%s with %q", x.template, x.value)
	}
}

func TestExpand_TheRequestsOwnValueGoesBeforeTheDefault(t *testing.T) {
	values := wire.Values{Own: wire.Params{"a": {Text: "own"}}, Defaults: wire.Params{"a": {Text: "default"}, "b": {Text: "2"}}}
	got, err := values.ExpandPath("/{a}/{b}")
	require.NoError(t, err)
	assert.Equal(t, "/own/2", got)
}

func TestExpand_ABadValueIsRefusedWithItsNameAndWithoutItsText(t *testing.T) {
	for _, x := range []struct {
		template, value string
		raw             bool
		says            string
	}{
		{"/{id}", "", false, "has an empty value"},
		{"/{other}", "7", false, "has no value"},
		{"/{other2}", "7", false, "has no value"},
		{"/{an_other}", "7", false, "has no value"},
		{"/{an-other}", "7", false, "has no value"},
		{"/{an.other}", "7", false, "has no value"},
		{"/{id}", "..", false, "would climb the path"},
		{"/.{id}", ".", false, "would climb the path"},
		{"/%2e{id}", ".", false, "would climb the path"},
		{"/{id};v=1", "..", false, "would climb the path"},
		{"/{id}", "a/../b", true, "would climb the path"},
		{"/{id}", "a%2F%2e%2e", true, "would climb the path"},
		{"/{id}", `a%5C..`, true, "would climb the path"},
		{"/{id}", "a?b", true, `has '?' at byte 1`},
		{"/{id}", "a\nb", true, `has '\n' at byte 1`},
		{"/{id}", `a\b`, true, `has '\\' at byte 1`},
		{"/{id}", "%zz", true, "an escape that is none"},
	} {
		_, err := wire.Values{Own: wire.Params{"id": {Text: x.value, Raw: x.raw}}}.ExpandPath(x.template)
		var bad *wire.ParamError
		require.ErrorAs(t, err, &bad, "%s with %q", x.template, x.value)
		assert.ErrorContains(t, err, x.says)
		assert.ErrorContains(t, err, "{"+bad.Name+"}")
	}
}

func TestPlaceholderNames_AreTheInnermostOfNestedBraces(t *testing.T) {
	assert.Equal(t, []string{"a", "b", "c d"}, wire.PlaceholderNames("http://{a}.test/{{b}}/}{c d}{"))
	assert.Empty(t, wire.PlaceholderNames("/plain"))
}

// FuzzExpand fills a value into one segment of a path. A value that is not raw stays that one segment; and no value makes a
// segment that a server could take for "." or "..".
func FuzzExpand(f *testing.F) {
	for _, beside := range []string{"", ".", "%2e", "x", ";v", "%"} {
		for _, value := range []string{"7", ".", "..", "../x", "%2e%2e", "a/../b", "..;x", `..\`, "%5c..", "ü", "{id}", "a%2F..", "?", "\r\n"} {
			f.Add(beside, value, false)
			f.Add(beside, value, true)
		}
	}
	f.Fuzz(func(t *testing.T, beside, value string, isRaw bool) {
		if strings.ContainsAny(beside, "/{}") {
			return
		}
		template := "/first/" + beside + "{id}/last"
		path, err := wire.Values{Own: wire.Params{"id": {Text: value, Raw: isRaw}}}.ExpandPath(template)
		if err != nil {
			return
		}

		segments := strings.Split(path, "/")
		if !isRaw && len(segments) != 4 {
			t.Fatalf("%q makes other segments of %q: %q", value, template, path)
		}
		if segments[1] != "first" || segments[len(segments)-1] != "last" {
			t.Fatalf("%q changes other segments of %q: %q", value, template, path)
		}
		if slices.ContainsFunc(segments, isDotSegment) {
			t.Fatalf("%q climbs %q: %q", value, template, path)
		}
		if strings.ContainsAny(path[len("/first/"+beside):], "?#") {
			t.Fatalf("%q ends the path %q: %q", value, template, path)
		}
	})
}

// isDotSegment tells a segment that is "." or "..", without its parameters. An escaped semicolon begins none. An escape that is
// none keeps no other from being decoded.
func isDotSegment(segment string) bool {
	segment, _, _ = strings.Cut(segment, ";")
	decoded, err := url.PathUnescape(segment)
	if err != nil {
		decoded = strings.NewReplacer("%2e", ".", "%2E", ".").Replace(segment)
	}
	return decoded == "." || decoded == ".."
}
