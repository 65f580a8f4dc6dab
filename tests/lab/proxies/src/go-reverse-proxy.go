// Go's own HTTP reverse proxy.
package main

import (
	"log"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
)

func main() {
	backend := &url.URL{Scheme: "http", Host: os.Args[2]}
	log.Fatal(http.ListenAndServe(os.Args[1], httputil.NewSingleHostReverseProxy(backend)))
}
