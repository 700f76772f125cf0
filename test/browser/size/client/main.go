// Command client reads a list by axle. The command size measures it.
package main

import (
	"context"
	"os"
	"strings"

	"github.com/axlehttp/axle"
)

func main() {
	client := axle.New().SetBaseURL("https://api.example")
	items, err := axle.Get[[]string](context.Background(), client, "/items")
	if err != nil {
		_, _ = os.Stderr.WriteString(err.Error())
		return
	}
	_, _ = os.Stdout.WriteString(strings.Join(items, "\n"))
}
