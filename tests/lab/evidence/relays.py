"""How the relays are started: their plainest configuration, in the foreground, on 127.0.0.1.

Each function takes the port to listen on, the backend's port, and a directory for a configuration file.
"""

import atexit
import pathlib
import shutil
import subprocess
import sys
import tempfile

from common import NOT_INSTALLED, need, socat_relay


def redir(listen, back, directory):
    return ["redir", "-n", f"127.0.0.1:{listen}", f"127.0.0.1:{back}"]


def simpleproxy(listen, back, directory):
    return ["simpleproxy", "-L", f"127.0.0.1:{listen}", "-R", f"127.0.0.1:{back}"]


def tunnel(listen, back, directory):
    return ["6tunnel", "-4", "-d", "-l", "127.0.0.1", listen, "127.0.0.1", back]


def xinetd(listen, back, directory):
    config = directory / "xinetd.conf"
    config.write_text(f"""service relay
{{
    type = UNLISTED
    socket_type = stream
    protocol = tcp
    wait = no
    user = root
    bind = 127.0.0.1
    port = {listen}
    redirect = 127.0.0.1 {back}
}}
""")
    return [need("xinetd"), "-dontfork", "-f", config]


def rinetd(listen, back, directory):
    config = directory / "rinetd.conf"
    config.write_text(f"127.0.0.1 {listen} 127.0.0.1 {back}\n")
    return [need("rinetd"), "-f", "-c", config]


def socat(listen, back, directory):
    return socat_relay(listen, back)


def pen(listen, back, directory):
    return ["pen", "-f", f"127.0.0.1:{listen}", f"127.0.0.1:{back}"]


def ncat(listen, back, directory):
    """The example of ncat's manual page, with the descriptors closed that would hide the end (see no-end)."""
    return ["ncat", "-l", "127.0.0.1", listen, "--keep-open", "--sh-exec",
            f"exec ncat 127.0.0.1 {back} 3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&-"]


def sslh(listen, back, directory):
    """With two protocols, the least that it accepts. It passes on what it does not know after two seconds."""
    return [need("sslh"), "--foreground", "--listen", f"127.0.0.1:{listen}", "--http", f"127.0.0.1:{back}",
            "--anyprot", f"127.0.0.1:{back}"]


def busybox(listen, back, directory):
    """The nc of BusyBox serves one client, so it is started as inetd would start it."""
    need("systemd-socket-activate", "systemd")
    return ["systemd-socket-activate", "--inetd", "--accept", f"--listen=127.0.0.1:{listen}",
            need("busybox"), "nc", "127.0.0.1", str(back)]


def netcat(listen, back, directory):
    """The first netcat, started as inetd would start it."""
    need("systemd-socket-activate", "systemd")
    return ["systemd-socket-activate", "--inetd", "--accept", f"--listen=127.0.0.1:{listen}",
            need("nc.traditional", "netcat-traditional"), "127.0.0.1", str(back)]


def stunnel(listen, back, directory):
    """Twice in one process: from plain text to TLS, and back again."""
    key, certificate, both, config = (directory / name for name in ("key", "certificate", "both", "stunnel.conf"))
    subprocess.run([need("openssl"), "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost",
                    "-keyout", key, "-out", certificate], check=True, stderr=subprocess.DEVNULL)
    both.write_bytes(key.read_bytes() + certificate.read_bytes())
    config.write_text(f"""foreground = yes
pid =
debug = info
[encrypt]
client = yes
accept = 127.0.0.1:{listen}
connect = {directory}/socket
[decrypt]
accept = {directory}/socket
connect = 127.0.0.1:{back}
cert = {both}
""")
    return [need("stunnel", "stunnel4"), config]


def nginx(listen, back, directory, more=""):
    config = directory / "nginx.conf"
    module = pathlib.Path("/usr/lib/nginx/modules/ngx_stream_module.so")
    config.write_text(f"""{f"load_module {module};" if module.exists() else ""}
daemon off; pid {directory}/pid; error_log stderr;
events {{}}
stream {{ server {{ listen 127.0.0.1:{listen}; proxy_pass 127.0.0.1:{back}; {more} }} }}
""")
    return [need("nginx"), "-p", directory, "-e", "stderr", "-c", config]


def varnish(listen, back, directory):
    vcl = directory / "pass.vcl"
    vcl.write_text(f"""vcl 4.1;
backend default {{ .host = "127.0.0.1"; .port = "{back}"; }}
sub vcl_recv {{ return (pass); }}
""")
    return [need("varnishd", "varnish"), "-F", "-j", "none", "-n", directory / "work", "-f", vcl, "-s", "malloc,64m",
            "-a", f"127.0.0.1:{listen}"]


def nginx_http(listen, back, directory):
    config = directory / "nginx.conf"
    config.write_text(f"""daemon off; pid {directory}/pid; error_log stderr; user root;
events {{}}
http {{
    access_log off; client_body_temp_path {directory}/a; proxy_temp_path {directory}/b; fastcgi_temp_path {directory}/c;
    uwsgi_temp_path {directory}/d; scgi_temp_path {directory}/e;
    server {{ listen 127.0.0.1:{listen}; location / {{ proxy_pass http://127.0.0.1:{back}; }} }}
}}
""")
    return [need("nginx"), "-p", directory, "-e", "stderr", "-c", config]


PROXIES = pathlib.Path(__file__).resolve().parent.parent / "proxies"


def of_the_table(name):
    """As the table of the book has it: by its script in tests/lab/proxies, which has its files in that directory."""
    return lambda listen, back, directory: ["env", f"LAB_SCRATCH={directory}", PROXIES / name, f"127.0.0.1:{listen}",
                                            f"127.0.0.1:{back}"]


def version_in_the_table(name):
    """What that script says of the program. None: it is not installed."""
    out = subprocess.run([PROXIES / name, "--version"], stdin=subprocess.DEVNULL, capture_output=True, text=True)
    return out.stdout.strip() if out.returncode == 0 else None


def installed(given, accused):
    """The versions of the programs that were asked for, or of all that are accused and installed.

    If there are none, or one that was asked for is missing, it says so and leaves with status 69.
    """
    versions = {name: version_in_the_table(name) for name in given.programs or accused}
    missing = [name for name, version in versions.items() if not version]
    if set(missing) & set(given.programs) or len(missing) == len(versions):
        print(f"{', '.join(missing)}: not installed")
        sys.exit(NOT_INSTALLED)
    return {name: version for name, version in versions.items() if version}


def in_directory(relay):
    """The same without the directory: one is made, and removed at the end."""
    directory = pathlib.Path(tempfile.mkdtemp(prefix="evidence-"))
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    return lambda listen, back: relay(listen, back, directory)
