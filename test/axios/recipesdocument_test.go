//go:build !js

package axios_test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A browser does not have the files of the repository, and so this file is not for js.

// The code that recipes_test.go tests is the code of the document, to the letter.
func TestRecipes_TheDocumentHasTheCodeThatIsTested(t *testing.T) {
	doc, err := os.ReadFile("../../docs/porting-from-axios.md")
	require.NoError(t, err)
	source, err := os.ReadFile("recipes_test.go")
	require.NoError(t, err)

	_, section, found := strings.Cut(string(doc), "\n## Recipes\n")
	require.True(t, found)
	section, _, _ = strings.Cut(section, "\n## ")
	blocks := regexp.MustCompile("(?s)```go\n(.*?)```").FindAllStringSubmatch(section, -1)
	require.Len(t, blocks, 6)

	// The last block shows how the recipes are installed.
	for _, block := range blocks[:5] {
		assert.Contains(t, string(source), block[1])
	}
}
