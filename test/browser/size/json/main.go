// Command json reads a list by net/http and encoding/json. The command size measures it.
package main

import (
	"encoding/json"
	"net/http"
	"os"
	"strings"
)

func main() {
	items, err := read("https://api.example/items")
	if err != nil {
		_, _ = os.Stderr.WriteString(err.Error())
		return
	}
	_, _ = os.Stdout.WriteString(strings.Join(items, "\n"))
}

func read(url string) ([]string, error) {
	//nolint:noctx // the program does nothing else
	resp, err := http.Get(url)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()

	var items []string
	err = json.NewDecoder(resp.Body).Decode(&items)
	return items, err
}
