// Package axios tests that axle does what axios does. model_test.go compares random chains of interceptors with a model
// of the promise chain, chains_test.go with a record of axios itself (testdata/record.mjs wrote it), and
// porting_test.go tests the rows of docs/porting-from-axios.md that no test of the root package covers.
package axios
