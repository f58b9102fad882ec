import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Properties;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/** Writes records that Kafka allows and few expect: java -cp 'libs/*' JavaRecords.java BROKERS TOPIC */
public final class JavaRecords {
  public static void main(String[] args) throws Exception {
    Properties settings = new Properties();
    settings.put(ProducerConfig.BOOTSTRAP_SERVERS_CONFIG, args[0]);
    settings.put(ProducerConfig.ACKS_CONFIG, "all");
    settings.put(ProducerConfig.KEY_SERIALIZER_CLASS_CONFIG, ByteArraySerializer.class.getName());
    settings.put(ProducerConfig.VALUE_SERIALIZER_CLASS_CONFIG, ByteArraySerializer.class.getName());
    List<List<Header>> all = new ArrayList<>();
    all.add(List.of(header("type", "count"), header("id", (byte[]) null)));
    all.add(List.of(header("type", (byte[]) null)));
    all.add(List.of());
    all.add(List.of(header("", "empty name"), header("", (byte[]) null), header("", "")));
    all.add(List.of(header("type", "count"), header("type", "count"), header("type", (byte[]) null)));
    all.add(
        List.of(
            header("__proto__", "p"),
            header("__proto__", (byte[]) null),
            header("constructor", "c"),
            header("toString", (byte[]) null)));
    all.add(List.of(header("a\u0000b", "nul"), header("\ud83d\udca5", new byte[] {0, (byte) 0xff, (byte) 0xc3})));
    List<Header> many = new ArrayList<>();
    for (int i = 0; i < 5_000; i++) many.add(header("h" + i, i % 2 == 0 ? null : new byte[] {(byte) i}));
    all.add(many);
    try (KafkaProducer<byte[], byte[]> producer = new KafkaProducer<>(settings)) {
      int nth = 0;
      for (List<Header> headers : all) {
        // Neither key nor value, an empty value, every byte; a time-stamp of 0 among them.
        byte[] value = nth % 3 == 0 ? null : nth % 3 == 1 ? new byte[0] : everyByte();
        byte[] key = nth % 2 == 0 ? null : new byte[] {(byte) 0xfe, 0};
        Long timestamp = nth == 1 ? 0L : Long.valueOf(1_700_000_000_000L + nth);
        producer.send(new ProducerRecord<>(args[1], 0, timestamp, key, value, headers)).get();
        nth++;
      }
      List<Header> last = List.of(header("type", "count"), header("id", "java-ok"));
      byte[] name = "java-ok".getBytes(StandardCharsets.UTF_8);
      producer.send(new ProducerRecord<>(args[1], 0, null, null, name, last)).get();
    }
  }

  private static Header header(String name, String value) {
    return header(name, value.getBytes(StandardCharsets.UTF_8));
  }

  private static Header header(String name, byte[] value) {
    return new RecordHeader(name, value);
  }

  private static byte[] everyByte() {
    byte[] bytes = new byte[256];
    for (int i = 0; i < bytes.length; i++) bytes[i] = (byte) i;
    return bytes;
  }
}
