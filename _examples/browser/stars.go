package main

import (
	_ "embed"
	"strings"
	"sync"
)

// star is what the API has to offer.
type star struct {
	Name          string `json:"name"`
	Constellation string `json:"constellation"`
	Distance      string `json:"distance"` // in light years
}

//go:embed stars.txt
var table string

// stars returns the fifty stars of the table.
var stars = sync.OnceValue(func() (all []star) {
	for line := range strings.Lines(table) {
		name, rest, _ := strings.Cut(strings.TrimSpace(line), "|")
		constellation, distance, _ := strings.Cut(rest, "|")
		all = append(all, star{name, constellation, distance})
	}
	return all
})
