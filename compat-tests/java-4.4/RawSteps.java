import java.io.ByteArrayOutputStream;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.EOFException;
import java.io.IOException;
import java.net.Socket;
import java.net.SocketException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import org.apache.kafka.common.TopicPartition;

/** What no client sends of itself: bytes on a socket of our own. */
final class RawSteps {
    private RawSteps() {}

    private static byte[] exchange(DataOutputStream out, DataInputStream in, byte[] request) throws IOException {
        out.writeInt(request.length);
        out.write(request);
        out.flush();
        byte[] response = new byte[in.readInt()];
        in.readFully(response);
        return response;
    }

    private static Socket connect() throws IOException {
        String[] address = Cluster.BOOTSTRAP.split(",")[0].split(":");
        Socket socket = new Socket(address[0], Integer.parseInt(address[1]));
        socket.setSoTimeout(10_000);
        return socket;
    }

    /** ApiVersions v99: error 35 in the body of v0, and the connection stays usable. */
    static void unsupportedVersion() throws IOException {
        byte[] v99 = {0, 18, 0, 99, 0, 0, 0, 7, 0, 1, 'x', 0, 2, 'x', 2, '1', 0};
        byte[] v0 = {0, 18, 0, 0, 0, 0, 0, 8, 0, 1, 'x'};
        try (Socket socket = connect()) {
            DataOutputStream out = new DataOutputStream(socket.getOutputStream());
            DataInputStream in = new DataInputStream(socket.getInputStream());
            byte[] answer = exchange(out, in, v99);
            Check.equal("correlation id and error", "0000000700" + "23", Records.hex(Arrays.copyOf(answer, 6)));
            int keys = ByteBuffer.wrap(answer).getInt(6);
            Check.require(keys > 0, "no API keys listed");
            Check.equal("length of the v0 body", 10 + 6 * keys, answer.length);
            Check.equal("correlation id and error of v0", "000000080000", Records.hex(Arrays.copyOf(exchange(out, in, v0), 6)));
        }
    }

    static void unknownApi() throws IOException {
        byte[] request = {0x27, 0x0f, 0, 0, 0, 0, 0, 7, 0, 1, 'x'};
        try (Socket socket = connect()) {
            DataOutputStream out = new DataOutputStream(socket.getOutputStream());
            DataInputStream in = new DataInputStream(socket.getInputStream());
            byte[] answer = exchange(out, in, request);
            throw new Check.Wrong("API key 9999: expected a closed connection, got " + Records.hex(answer));
        } catch (EOFException | SocketException closed) {
            // As it should be.
        }
    }

    /** OffsetCommit v2 of one partition; the error code of the answer. */
    static int commit(String group, int generation, String member, TopicPartition partition, long offset) throws IOException {
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        DataOutputStream request = new DataOutputStream(bytes);
        request.writeShort(8);
        request.writeShort(2);
        request.writeInt(9);
        string(request, "raw");
        string(request, group);
        request.writeInt(generation);
        string(request, member);
        request.writeLong(-1); // retention
        request.writeInt(1);
        string(request, partition.topic());
        request.writeInt(1);
        request.writeInt(partition.partition());
        request.writeLong(offset);
        string(request, "");
        try (Socket socket = connect()) {
            byte[] answer = exchange(new DataOutputStream(socket.getOutputStream()),
                new DataInputStream(socket.getInputStream()), bytes.toByteArray());
            return ByteBuffer.wrap(answer).getShort(answer.length - 2);
        }
    }

    private static void string(DataOutputStream out, String text) throws IOException {
        byte[] utf8 = text.getBytes(StandardCharsets.UTF_8);
        out.writeShort(utf8.length);
        out.write(utf8);
    }
}
