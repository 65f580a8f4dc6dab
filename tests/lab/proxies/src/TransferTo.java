import java.io.IOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;

/** A TCP proxy with a thread for each direction, and transferTo() in both. */
class TransferTo {
    public static void main(String[] arguments) throws IOException {
        String[] listen = arguments[0].split(":"), backend = arguments[1].split(":");
        InetAddress here = InetAddress.getByName(listen[0]);
        try (ServerSocket listener = new ServerSocket(Integer.parseInt(listen[1]), 0, here)) {
            while (true) {
                Socket client = listener.accept();
                new Thread(() -> serve(client, backend[0], Integer.parseInt(backend[1]))).start();
            }
        }
    }

    static void serve(Socket client, String host, int port) {
        try (client; Socket server = new Socket(host, port)) {
            Thread upload = new Thread(() -> pass(client, server));
            upload.start();
            pass(server, client);
            upload.join();
        } catch (IOException | InterruptedException error) {
            System.err.println(error);
        }
    }

    static void pass(Socket from, Socket to) {
        try {
            from.getInputStream().transferTo(to.getOutputStream());
            to.shutdownOutput();
        } catch (IOException error) {
            System.err.println(error);
        }
    }
}
