// Command nethttp reads a list by net/http alone. The command size measures it.
package main

import (
	"io"
	"net/http"
	"os"
)

func main() {
	//nolint:noctx // the program does nothing else
	resp, err := http.Get("https://api.example/items")
	if err != nil {
		_, _ = os.Stderr.WriteString(err.Error())
		return
	}
	defer resp.Body.Close()
	_, _ = io.Copy(os.Stdout, resp.Body)
}
